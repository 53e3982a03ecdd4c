/** Remedies read back: what a findings file may and may not say. */
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findingsFile } from "./findings.ts";
import { openRemedy } from "./remedy.ts";

let root: string;
let diagnosis: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-remedy-"));
  diagnosis = join(root, "run", "diagnosis");
  await mkdir(diagnosis, { recursive: true });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const text = { en: "Do it.", zh: "请做。" };
const finding = (id: string, set: readonly unknown[], more: object = {}): object => ({
  id,
  about: text,
  title: text,
  evidence: [{ name: "figure", value: 1 }],
  examples: [],
  confidence: 0.9,
  severity: "high",
  remedy: { text, set, ...more },
});
const write = (...findings: readonly object[]): Promise<void> =>
  writeFile(
    join(diagnosis, findingsFile),
    JSON.stringify({
      kind: "attune-findings",
      schemaVersion: 1,
      run: "runs/a",
      judged: 40,
      lookedFor: [],
      findings,
    }),
  );
const refusal = (reference: string): Promise<string> =>
  openRemedy(reference).then(
    () => "nothing was refused",
    (error: unknown) => String(error).replaceAll(root, "ROOT"),
  );

describe("a remedy", () => {
  it("is found by the run, by its diagnosis, and by the file", async () => {
    await write(finding("overfitting", ["training.epochs=1"]));
    for (const path of [join(root, "run"), diagnosis, join(diagnosis, findingsFile)]) {
      const remedy = await openRemedy(`${path}:overfitting`);
      expect(remedy).toMatchObject({ id: "overfitting", set: ["training.epochs=1"] });
      expect(remedy.run).toBe(join(root, "run"));
    }
  });

  it("of an unknown name lists those there", async () => {
    await write(finding("overfitting", ["training.epochs=1"]), finding("small-data", ["lora.dropout=0.2"]));
    expect(await refusal(`${diagnosis}:overfiting`)).toMatchInlineSnapshot(
      `"UserError: the diagnosis has no finding "overfiting" (ROOT/run/diagnosis/findings.json). It found overfitting, small-data. Did you mean overfitting?"`,
    );
    expect(await refusal(`${diagnosis}:one-reply`)).toMatchInlineSnapshot(
      `"UserError: the diagnosis has no finding "one-reply" (ROOT/run/diagnosis/findings.json). It found overfitting, small-data."`,
    );
    await write();
    expect(await refusal(`${diagnosis}:one-reply`)).toMatchInlineSnapshot(
      `"UserError: the diagnosis has no finding "one-reply" (ROOT/run/diagnosis/findings.json). It found nothing."`,
    );
  });

  it("without a setting says what to do instead", async () => {
    await write(finding("template-mismatch", [], { commands: ["attune train RUN/config.yaml"] }));
    expect(await refusal(`${diagnosis}:template-mismatch`)).toMatchInlineSnapshot(
      `"UserError: no setting of training mends template-mismatch (ROOT/run/diagnosis/findings.json). Do it. Instead: attune train RUN/config.yaml"`,
    );
  });

  it("must be named as PATH:ID, where findings are", async () => {
    expect(await refusal("runs/first")).toMatchInlineSnapshot(
      `"UserError: --from-finding runs/first: expected PATH:ID. For example --from-finding runs/first/diagnosis:overfitting."`,
    );
    expect(await refusal(`${root}:overfitting`)).toMatchInlineSnapshot(
      `"UserError: ROOT holds no findings. Make them with: attune diagnose ROOT"`,
    );
    expect(await refusal(`${join(root, "nowhere")}:overfitting`)).toMatchInlineSnapshot(
      `"UserError: ROOT/nowhere holds no findings. Make them with: attune diagnose ROOT/nowhere"`,
    );
    await writeFile(join(root, "notes.txt"), "hello");
    expect(await refusal(`${join(root, "notes.txt")}:overfitting`)).toMatchInlineSnapshot(
      `"UserError: ROOT/notes.txt is not a findings.json. Name a run or its diagnosis."`,
    );
  });

  it.each([
    ["a broken file", '{"kind": "attune-findings", '],
    ["an empty file", ""],
    ["another file", '{"kind": "attune-evaluation", "schemaVersion": 1}'],
    ["a later version", '{"kind": "attune-findings", "schemaVersion": 2, "findings": []}'],
    ["a list", "[]"],
    ["deep nesting", `${"[".repeat(200_000)}`],
  ])("is refused in %s", async (_, content) => {
    await writeFile(join(diagnosis, findingsFile), content);
    expect(await refusal(`${diagnosis}:overfitting`)).toMatch(
      /^UserError: not (valid JSON|the findings of a diagnosis).*findings\.json/,
    );
  });

  it("is refused in a file that is too large to be one, without reading it", async () => {
    await truncate(join(diagnosis, findingsFile), 2 ** 33);
    expect(await refusal(`${diagnosis}:overfitting`)).toMatchInlineSnapshot(
      `"UserError: not the findings of a diagnosis: 8.00 GiB are more than they ever have (ROOT/run/diagnosis/findings.json). Make them with attune diagnose RUN."`,
    );
  });

  it("may not choose the model, the data or the folder, nor be anything but key=value", async () => {
    for (const pair of [
      "model=/etc",
      "data=/etc/passwd",
      "data.train=x",
      "data.fields.context=x",
      "out=/tmp/x",
      "__proto__.polluted=1",
      "lora.rank",
      "=1",
      "\u001B[31mlora.rank=1",
    ]) {
      await write(finding("overfitting", [pair]));
      expect(await refusal(`${diagnosis}:overfitting`), pair).toMatch(
        /^UserError: the remedy of overfitting (sets \S+, which is not a finding's to choose|is ".*"; it must be key=value)/,
      );
    }
  });

  it("is shown without control characters", async () => {
    await write(finding("empty-replies", [], { commands: ["\u001B]0;title\u0007attune \u202Edata"] }));
    expect(await refusal(`${diagnosis}:empty-replies`)).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
  });
});
