/** `attune data` as it is typed: results, exit codes, plain lines in a pipe, one JSON result at the end. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { UserError } from "../../util/index.ts";
import { dataCommand } from "./data.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-data-"));
  const words = (count: number, seed: number): string =>
    Array.from({ length: count }, (_, i) => `w${(i * 7919 + seed * 104_729) % 9973}`).join(" ");
  const rows = Array.from({ length: 60 }, (_, i) =>
    JSON.stringify({
      dialogue_id: `${i >> 1}`,
      context: words(8, i),
      response: words(14, i + 500),
      intent: `intent-${i % 5}`,
    }),
  );
  await writeFile(join(root, "raw.jsonl"), [...rows, "{broken"].join("\n"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(root, { recursive: true, force: true });
});

/** Runs a command line and returns what it printed to standard output. */
async function attune(...args: string[]): Promise<string> {
  const program = new Command("attune").addCommand(dataCommand());
  const strict = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => {} });
    for (const sub of command.commands) strict(sub);
  };
  strict(program);
  let printed = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  try {
    await program.parseAsync(["data", ...args], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return printed;
}

const lastJson = (printed: string): Record<string, unknown> =>
  JSON.parse(printed.trim().split("\n").at(-1)!) as Record<string, unknown>;
const path = (name: string): string => join(root, name);

describe("attune data", () => {
  it("prepares, and ends with one result in JSON", async () => {
    const printed = await attune("prepare", path("raw.jsonl"), "--out", path("set"), "--json", "--seed", "0");
    for (const line of printed.trim().split("\n")) expect(() => JSON.parse(line) as unknown).not.toThrow();
    const result = lastJson(printed);
    expect(result).toMatchObject({
      type: "result",
      read: 61,
      kept: 60,
      rejected: { "json-syntax": 1 },
      leaks: 0,
    });
    const splits = Object.values(
      result["splits"] as Record<string, { examples: number; conversations: number }>,
    );
    expect(splits.map(({ examples }) => examples).reduce((a, b) => a + b)).toBe(60);
    expect(splits.map(({ conversations }) => conversations).reduce((a, b) => a + b)).toBe(30);
    expect((result["splits"] as { train: { examples: number } }).train.examples).toBeGreaterThanOrEqual(46);
    const manifest = JSON.parse(await readFile(path("set/dataset.json"), "utf8")) as Record<string, unknown>;
    expect(manifest["seed"]).toBe(0);
  });

  it("shows, checks, reports and compares", async () => {
    await attune("prepare", path("raw.jsonl"), "--out", path("a"));
    await attune(
      "prepare",
      path("raw.jsonl"),
      "--out",
      path("b"),
      "--set",
      "shape.split.test=0",
      "--set",
      "shape.split.validation=0.2",
    );
    const shown = await attune("show", path("a"), "--examples", "1", "--split", "test");
    expect(shown).toContain("61 rows read = 60 kept + 1 rejected");
    expect(shown).toContain("assistant");
    expect(await attune("check", path("a"))).toContain("0 conversation ids stand in two splits");
    expect(lastJson(await attune("check", path("a"), "--json"))).toMatchObject({
      ok: true,
      leaks: 0,
      examples: 60,
    });
    expect(await attune("report", path("a"), "--out", path("again.html"))).toContain("again.html");
    expect(await readFile(path("again.html"), "utf8")).toBe(await readFile(path("a/report.html"), "utf8"));
    const diff = await attune("diff", path("a"), path("b"));
    expect(diff).toContain("config.shape.split.test: 0.1 → 0");
    expect(await attune("diff", path("a"), path("a"))).toContain("settings and counts are the same");
  });

  it("fails the check of a data set that was changed or leaks", async () => {
    await attune("prepare", path("raw.jsonl"), "--out", path("set"));
    const test = await readFile(path("set/test.jsonl"), "utf8");
    await writeFile(path("set/train.jsonl"), test, { flag: "a" });
    const failed = attune("check", path("set"), "--json");
    await expect(failed).rejects.toThrow(UserError);
    await expect(failed).rejects.toThrow(
      /train\.jsonl is not the file that was written.*leaks between the splits/,
    );
  });

  it("takes a config, and points at its mistakes", async () => {
    await writeFile(
      path("data.yaml"),
      `sources:\n  - ${path("raw.jsonl")}\nclean:\n  replyLength:\n    minn: 3\n`,
    );
    await expect(attune("prepare", "--config", path("data.yaml"), "--out", path("set"))).rejects.toThrow(
      /data\.yaml:5:5.*Did you mean/,
    );
  });

  it("refuses misuse", async () => {
    await expect(attune("prepare", "--out", path("set"))).rejects.toThrow(CommanderError);
    await expect(attune("prepare", path("raw.jsonl"), "--outt", path("set"))).rejects.toThrow(CommanderError);
    await expect(attune("prepare", path("raw.jsonl"))).rejects.toThrow(/out/);
    await expect(attune("prepare", path("raw.jsonl"), "--out", path("s"), "--seed", "x")).rejects.toThrow(
      "--seed must be a whole number",
    );
    await expect(attune("show", path("nothing"))).rejects.toThrow("is not a data set");
    await expect(attune("prepare", path("raw.jsonl"), "--out", path("s"), "--strict")).rejects.toThrow(
      /raw\.jsonl:61/,
    );
  });
});
