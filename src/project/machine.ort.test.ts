/** What is read off the machine, and what is advised when memory is short. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunEvent } from "../train/index.ts";
import { UserError } from "../util/index.ts";
import { examine, processorFinding } from "./doctor.ts";
import { availableMemoryBytes, processor, totalMemoryBytes } from "./machine.ts";
import {
  type MemorySettings,
  type RunMemory,
  choosableBy,
  chooseSettings,
  memoryMargin,
  refuseWithoutMemory,
  wantedSettings,
} from "./run-memory.ts";
import { fitPrompt } from "./responder.ts";
import { resolveConfig } from "./resolve.ts";
import { trainConfigSchema } from "./schema.ts";
import { type PreparedRun, prepareRun, runTraining } from "./train-run.ts";

const quickstart = fileURLToPath(new URL("../../assets/quickstart", import.meta.url));

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

  it("is said to compute in 8 bits no faster where x86 has no VNNI", () => {
    const found = (flags: string, x64: boolean): string => processorFinding(`flags : ${flags}\n`, x64).found;
    expect(found("fma avx2 avx512f", true)).toContain("AVX-512; no VNNI: an 8-bit base saves memory");
    expect(found("fma avx2 avx_vnni", true)).toMatch(/AVX-VNNI$/);
    expect(found("asimd asimddp", false)).toMatch(/dot products$/);
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
    // Large enough for its steps to outweigh the program.
    const rows = (await readFile(join(quickstart, "train.jsonl"), "utf8")).split("\n").slice(0, 200);
    await writeFile(join(folder, "train.jsonl"), rows.join("\n"));
    prepared = await prepareRun(
      trainConfigSchema.parse({
        model: join(quickstart, "model"),
        data: join(folder, "train.jsonl"),
        training: { microTokens: 4096, batch: 64 },
      }),
    );
  });
  afterAll(async () => {
    await prepared[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  const advice = (bytes: number): string => {
    try {
      refuseWithoutMemory(prepared, { bytes, given: false });
    } catch (error) {
      if (error instanceof UserError) return error.message;
      throw error;
    }
    return "fits";
  };

  it("is told the least costly settings that do, within the memory there is", () => {
    const { totalBytes } = prepared.plan.summary.memory;
    const enough = totalBytes * memoryMargin + 1;
    expect(advice(enough)).toBe("fits");
    expect(advice(enough - 2)).toMatch(/Add --set training\.microTokens=\d+ \(about/);
    expect(advice(1e6)).toContain("the weights alone take");
    expect(advice(enough / 2)).not.toBe("fits");
    const settings = new Set<string>();
    for (let bytes = enough; bytes > enough / 2; bytes -= enough / 40) {
      const said = /Add (.*) \(about/.exec(advice(bytes))?.[1];
      if (said !== undefined) settings.add(said);
    }
    const all = [...settings].join("\n");
    expect(all).toContain("training.checkpointing=blocks");
    // Data are given up last.
    expect([...settings].findIndex((one) => one.includes("maxLength"))).not.toBe(0);
  });
});

describe("a run whose settings were chosen to fit", () => {
  it("keeps them when it goes on, however much memory there is by then", async () => {
    const folder = await mkdtemp(join(tmpdir(), "attune-chosen-"));
    try {
      const rows = (await readFile(join(quickstart, "train.jsonl"), "utf8")).split("\n").slice(0, 60);
      await writeFile(join(folder, "train.jsonl"), rows.join("\n"));
      const run = join(folder, "run");
      const asked = async (set: readonly string[]) =>
        resolveConfig(trainConfigSchema, {
          flags: { model: join(quickstart, "model"), "data.train": join(folder, "train.jsonl") },
          set: ["training.steps=2", "checkpoint.every=1", "evaluation.probes=0", ...set],
        });
      const wanted = await asked([]);
      await using free = await prepareRun(wanted.config, { origins: wanted.origins });
      const { processBytes, totalBytes } = free.plan.choice.prediction;
      // Room for most of what the run itself takes: the process grows until the next plan.
      const limit = Math.ceil((processBytes + 3 * totalBytes) / 4);
      const narrow = await asked([`runtime.memory=${limit}`]);
      const abort = new AbortController();
      let chosen: unknown;
      {
        await using prepared = await prepareRun(narrow.config, { origins: narrow.origins });
        const { microTokens, checkpointing } = prepared.plan.config.training;
        chosen = { microTokens, checkpointing };
        expect(prepared.plan.choice.reason).toContain("the limit is");
        const options = { origins: narrow.origins, folder: run, resume: false, signal: abort.signal };
        for await (const event of runTraining(prepared, options))
          if (event.type === "step" && event.step === 1) abort.abort();
      }
      await using resumed = await prepareRun(wanted.config, { origins: wanted.origins, resumed: run });
      expect(resumed.plan.config.training).toMatchObject(chosen as object);
      expect(free.plan.config.training).not.toMatchObject(chosen as object);
      const events: RunEvent[] = [];
      for await (const event of runTraining(resumed, { origins: wanted.origins, folder: run, resume: true }))
        events.push(event);
      expect(events.at(-1)).toMatchObject({ type: "finished", reason: "completed", step: 2 });
      // Once more: nothing is left, which is said, and what the run took is still known.
      await using ended = await prepareRun(wanted.config, { origins: wanted.origins, resumed: run });
      const notices: string[] = [];
      const options = { origins: wanted.origins, folder: run, resume: true };
      for await (const event of runTraining(ended, { ...options, notice: (text) => notices.push(text) }))
        events.push(event);
      expect(notices).toContain("the run had finished at step 2: no step is left to do");
      const [before, after] = events.filter((event) => event.type === "finished");
      expect(after!.tokensPerSecond).toBeGreaterThan(0);
      expect(after!.tokensPerSecond).toBeCloseTo(before!.tokensPerSecond, 6);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
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

describe("settings that nobody gave", () => {
  const bytes = (totals: Readonly<Record<string, number>>): RunMemory => ({
    batches: () => {
      throw new Error("not asked for");
    },
    predict: ({ microTokens, checkpointing }) => ({
      ...nothing,
      totalBytes: totals[`${microTokens} ${checkpointing}`] ?? 1e9,
    }),
    graphs: () => {
      throw new Error("not asked for");
    },
    inFewerBits: () => undefined,
    inFloat32: () => bytes(totals),
    longest: 100,
  });
  const nothing = {
    processBytes: 0,
    runtimeBytes: 0,
    weightBytes: 0,
    stepBytes: 0,
    evaluationBytes: 0,
    optimizerBytes: 0,
    batchBytes: 0,
    replyBytes: 0,
  };
  const all = { microTokens: true, lanes: true, checkpointing: true };
  const wanted = { microTokens: 700, lanes: 1, checkpointing: "none" } as const;
  const memory = bytes({ "700 none": 900, "384 none": 600, "700 attention": 550, "256 blocks": 300 });
  const choose = (limit: number, microTokens = true, checkpointing = true) =>
    chooseSettings(
      memory,
      wanted,
      { microTokens, lanes: true, checkpointing },
      { bytes: limit, given: true },
    );

  it("stay as they are where they fit, with room for a wrong prediction", () => {
    expect(choose(1000)).toMatchObject({ settings: wanted });
    expect(choose(1000).origins.size).toBe(0);
    expect(choose(901).settings).not.toEqual(wanted);
  });

  it("give way to smaller micro-batches, then to recomputation, with the reason", () => {
    const smaller = choose(700);
    expect(smaller.settings).toEqual({ microTokens: 384, lanes: 1, checkpointing: "none" });
    expect([...smaller.origins]).toEqual([
      [
        "training.microTokens",
        "auto: micro-batches of 700 tokens with checkpointing none would take about 900 B, and the limit is 700 B",
      ],
    ]);
    expect(choose(600).settings).toEqual({ microTokens: 700, lanes: 1, checkpointing: "attention" });
    expect(choose(400).settings).toEqual({ microTokens: 256, lanes: 1, checkpointing: "blocks" });
  });

  it("give up the second lane where that is enough", () => {
    const two = {
      ...memory,
      predict: ({ lanes }: MemorySettings) => ({ ...nothing, totalBytes: lanes === 1 ? 500 : 900 }),
    };
    const limit = { bytes: 700, given: true };
    const chosen = chooseSettings(two, { ...wanted, lanes: 2 }, all, limit);
    expect(chosen.settings).toEqual({ microTokens: 700, lanes: 1, checkpointing: "none" });
    expect(chosen.origins.get("training.lanes")).toContain("2 micro-batches at once, of 700 tokens together");
  });

  it("are two lanes for an 8-bit base, in no more memory; one for others, and for a run from before there were lanes", () => {
    const wantedOf = (training: Record<string, unknown>, choosable = all, threads = 2) =>
      wantedSettings(
        trainConfigSchema.parse({ model: "somewhere", data: "rows.jsonl", training, runtime: { threads } }),
        choosable,
      );
    const two = { microTokens: 700, lanes: 2, checkpointing: "attention" };
    expect(wantedOf({ base: "int8" })).toEqual(two);
    expect(wantedOf({ base: "int8" }, { ...all, checkpointing: false })).toEqual({
      ...two,
      checkpointing: "none",
    });
    expect(wantedOf({ base: "int8" }, { ...all, lanes: false })).toEqual(wanted);
    expect(wantedOf({ base: "int8" }, all, 1)).toEqual(wanted);
    expect(wantedOf({})).toEqual(wanted);
    expect(wantedOf({ lanes: 3, checkpointing: "blocks" })).toEqual({
      microTokens: 700,
      lanes: 3,
      checkpointing: "blocks",
    });
  });

  it("are chosen only where nobody gave them", () => {
    expect(choose(600, false).settings).toEqual({ microTokens: 700, lanes: 1, checkpointing: "attention" });
    expect(choose(400, false, false)).toMatchObject({ settings: wanted });
    expect(choosableBy(new Map([["training.microTokens", "default"]]))).toEqual({
      microTokens: true,
      lanes: true,
      checkpointing: false,
    });
    expect(choosableBy(new Map([["training.lanes", "a file"]])).lanes).toBe(false);
    expect(choosableBy(undefined)).toEqual({ microTokens: false, lanes: false, checkpointing: false });
  });
});
