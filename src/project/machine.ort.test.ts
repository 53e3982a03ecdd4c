/** What is read off the machine, and what is advised when memory is short. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../util/index.ts";
import { examine } from "./doctor.ts";
import { availableMemoryBytes, processor, totalMemoryBytes } from "./machine.ts";
import { refuseWithoutMemory } from "./memory-check.ts";
import { fitPrompt } from "./responder.ts";
import { tinyProject } from "./tiny-project.testing.ts";
import { type PreparedRun, prepareRun } from "./train-run.ts";

describe("the machine", () => {
  it("has some memory free, and not more than there is", () => {
    expect(availableMemoryBytes()).toBeGreaterThan(1e6);
    expect(availableMemoryBytes()).toBeLessThanOrEqual(totalMemoryBytes());
  });

  it("tells instruction sets by the kernel's flags", () => {
    const x64 = "processor : 0\nflags\t\t: fpu avx2 fma avx512f avx512_vnni\n";
    expect(processor(x64).features).toEqual(["AVX2", "FMA", "AVX-512", "AVX-512 VNNI"]);
    expect(processor("Features\t: fp asimd asimddp i8mm\n").features).toEqual([
      "NEON",
      "dot products",
      "int8 products",
    ]);
    expect(processor("model name : x\n").features).toBeUndefined();
  });

  it("is examined without an exception, each finding with what to do about what is missing", async () => {
    const findings = [];
    for await (const finding of examine({ network: false, probe: async () => "no driver" }))
      findings.push(finding);
    const names = findings.map(({ name }) => name);
    for (const name of ["node", "processor", "memory", "onnxruntime", "disk.here", "disk.cache", "hub"])
      expect(names).toContain(name);
    expect(findings.filter(({ status, advice }) => status !== "ok" && advice === undefined)).toEqual([]);
  });
});

describe("a run that does not fit", () => {
  let folder: string;
  let prepared: PreparedRun;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "attune-memory-"));
    const config = await tinyProject(folder, 200, { training: { microTokens: 4096 } });
    prepared = await prepareRun(config);
  });
  afterAll(async () => {
    await prepared[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const advice = (bytes: number): string => {
    try {
      refuseWithoutMemory(prepared, bytes);
    } catch (error) {
      if (error instanceof UserError) return error.message;
      throw error;
    }
    return "fits";
  };

  it("is told the least costly settings that do, within the memory there is", () => {
    const { totalBytes } = prepared.plan.summary.memory;
    expect(advice(totalBytes)).toBe("fits");
    expect(advice(totalBytes - 1)).toMatch(/Add --set training\.microTokens=\d+ \(about/);
    expect(advice(1e6)).toContain("the weights alone take");
    const settings = new Set<string>();
    for (let bytes = totalBytes; bytes > 0; bytes -= totalBytes / 200) {
      const said = /Add (.*) \(about/.exec(advice(bytes))?.[1];
      if (said !== undefined) settings.add(said);
    }
    const all = [...settings].join("\n");
    expect(all).toContain("training.checkpointing=blocks");
    // Data are given up last.
    expect([...settings].findIndex((one) => one.includes("maxLength"))).not.toBe(0);
  });
});

describe("a prompt that is too long", () => {
  const renderer = {
    prompt: (messages: readonly { readonly content: string }[]) =>
      messages.flatMap(({ content }) => Array.from(content, () => 1)),
  };
  const say = (role: "system" | "user" | "assistant", length: number) => ({
    role,
    content: "x".repeat(length),
  });
  const talk = [
    say("system", 5),
    say("user", 10),
    say("assistant", 10),
    say("user", 10),
    say("assistant", 10),
    say("user", 10),
  ];

  it("loses whole oldest turns, never the system message or the last", () => {
    expect(fitPrompt(renderer, talk, 55)).toMatchObject({ dropped: 0 });
    expect(fitPrompt(renderer, talk, 54)).toMatchObject({ dropped: 2 });
    expect(fitPrompt(renderer, talk, 34)).toMatchObject({ dropped: 4 });
    expect(fitPrompt(renderer, talk, 15).ids).toHaveLength(15);
    expect(() => fitPrompt(renderer, talk, 14, "in.jsonl:3")).toThrow(
      "needs 15 tokens of prompt; the model has room for 14 (in.jsonl:3)",
    );
  });
});
