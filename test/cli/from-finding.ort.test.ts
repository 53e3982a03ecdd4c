/** `attune train --from-finding` through the real program: what it changes, where it trains, what it refuses. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isSetting, trainConfigSchema } from "../../src/project/index.ts";
import { tinyProject } from "../../src/project/tiny-project.testing.ts";
import { type Ended, attune, resultOf } from "./attune.ts";

let root: string;
let run: string;

const text = { en: "Do it.", zh: "请做。" };
async function findings(set: readonly string[]): Promise<void> {
  await writeFile(
    join(run, "diagnosis", "findings.json"),
    JSON.stringify({
      kind: "attune-findings",
      schemaVersion: 1,
      run,
      judged: 40,
      lookedFor: [],
      findings: [
        {
          id: "overfitting",
          about: text,
          title: text,
          evidence: [],
          examples: [],
          confidence: 0.9,
          severity: "high",
          remedy: { text, set },
        },
      ],
    }),
  );
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-from-finding-"));
  await tinyProject(root, 40);
  await writeFile(
    join(root, "train.yaml"),
    "model: model\ndata: train.jsonl\nout: first\ntraining: { steps: 2, batch: 4 }\nevaluation: { probes: 0 }\n",
  );
  run = join(root, "first");
  const trained = await attune(["train", "train.yaml"], { cwd: root });
  expect(trained).toMatchObject({ code: 0, stderr: "" });
  await mkdir(join(run, "diagnosis"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const train = (...words: readonly string[]): Promise<Ended> => attune(["train", ...words], { cwd: root });
const refusal = async (...words: readonly string[]): Promise<string> => {
  const { code, stderr } = await train(...words);
  expect(code).toBe(1);
  return stderr
    .trim()
    .replaceAll(root, "ROOT")
    .replaceAll(/yaml:\d+:\d+/g, "yaml:LINE:COLUMN");
};

describe("attune train --from-finding", () => {
  it("applies the remedy over the run's own configuration, in a new folder each time", async () => {
    await findings(["optimizer.learningRate=0.0001", "lora.targets=all-linear", "training.steps=1"]);
    const plan = await train("--from-finding", "first:overfitting", "--dry-run");
    expect(plan.code).toBe(0);
    for (const line of [
      "optimizer.learningRate = 0.0001 (finding overfitting)",
      'lora.targets = "all-linear" (finding overfitting)',
      "training.batch = 4 (first/config.yaml:",
      'out = "first-overfitting" (finding overfitting)',
    ])
      expect(plan.stdout).toContain(line);
    const trained = await train("--from-finding", "first/diagnosis:overfitting", "--json");
    expect(trained.code).toBe(0);
    expect(resultOf(trained)).toMatchObject({ type: "result" });
    const config = await readFile(join(root, "first-overfitting", "config.yaml"), "utf8");
    expect(config).toContain("#   optimizer.learningRate: finding overfitting\n");
    expect(config).toMatch(/^out: first-overfitting$/m);
    const again = await train("--from-finding", "first:overfitting", "--dry-run");
    expect(again.stdout).toContain('out = "first-overfitting-2"');
    // What was diagnosed is untouched.
    expect(await readFile(join(run, "config.yaml"), "utf8")).toMatch(/^out: first$/m);
  });

  it("takes another configuration, and lets the command line have the last word", async () => {
    await findings(["optimizer.learningRate=0.0001", "training.steps=1"]);
    const words = "train.yaml --from-finding first:overfitting --dry-run --out mine";
    const { code, stdout } = await train(...words.split(" "), "--set", "optimizer.learningRate=0.002");
    expect(code).toBe(0);
    expect(stdout).toContain("optimizer.learningRate = 0.002 (--set)");
    expect(stdout).toContain("training.steps = 1 (finding overfitting)");
    expect(stdout).toContain('out = "mine" (--out)');
  });

  it("refuses what the schema does not know or allow, and what would change nothing", async () => {
    const from = ["--from-finding", "first:overfitting"] as const;
    await findings(["lora.rnk=8"]);
    expect(await refusal(...from)).toMatchInlineSnapshot(
      `"error: the remedy of overfitting sets lora.rnk, which is not a setting (first/diagnosis/findings.json). Did you mean lora.rank? Diagnose the run anew with this version, or set what you want by --set."`,
    );
    await findings(["constructor.prototype.x=8"]);
    expect(await refusal(...from)).toMatchInlineSnapshot(
      `"error: the remedy of overfitting sets constructor.prototype.x, which is not a setting (first/diagnosis/findings.json). Diagnose the run anew with this version, or set what you want by --set."`,
    );
    await findings(["lora={rank: 8}"]);
    expect(await refusal(...from)).toMatchInlineSnapshot(
      `"error: the remedy of overfitting sets lora, which is a section, not a setting (first/diagnosis/findings.json). Diagnose the run anew with this version, or set what you want by --set."`,
    );
    await findings(["lora.rank=3000"]);
    expect(await refusal(...from)).toMatchInlineSnapshot(
      `"error: lora.rank is 3000; it must be a whole number from 1 to 256 (finding overfitting). It means: R, the inner width of the adapter."`,
    );
    await findings(["lora.targets=[q_proj"]);
    expect(await refusal(...from)).toMatchInlineSnapshot(
      `"error: lora.targets is [q_proj, which is not valid YAML: Flow sequence must end with a ] at line 1, column 8 (finding overfitting). Write a value as in the config file, lists as [a, b]."`,
    );
    await findings(["training.epochs=1"]);
    expect(await refusal(...from)).toMatchInlineSnapshot(
      `"error: the remedy of overfitting sets training.epochs, but training.steps is given and wins (first/config.yaml:LINE:COLUMN). Take training.steps out of the config, or give the value you want by --set training.steps=…."`,
    );
    await findings(["training.steps=1"]);
    expect(await refusal(...from, "--resume", "first")).toMatchInlineSnapshot(
      `"error: --from-finding starts a new run; it cannot be joined with --resume. Leave one of them out."`,
    );
  });

  it("knows a setting from a section and from what objects inherit", () => {
    expect(isSetting(trainConfigSchema, "lora.rank")).toBe(true);
    for (const key of ["lora", "lora.rank.x", "toString", "__proto__", ""])
      expect(isSetting(trainConfigSchema, key), key).toBe(false);
  });
});
