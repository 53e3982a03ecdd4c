/** Remedies ask for changes only: what a run has set already is left out, and said. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { trainConfigSchema } from "../../project/index.ts";
import { readFindings, writeFindings } from "./findings.ts";
import { newSettings } from "./new-settings.ts";
import type { Remedy } from "./types.ts";

const settings = trainConfigSchema.parse({
  model: "m",
  data: "d",
  lora: { targets: "all-linear", rank: 256, dropout: 0.2 },
  optimizer: { learningRate: 0.001 },
});
const remedy = (...set: readonly string[]): Remedy => ({ text: { en: "Do it.", zh: "请做。" }, set });

it("leaves out what is set already, whatever way it is written", () => {
  expect(
    newSettings(
      remedy("lora.targets=all-linear", "lora.rank=256", "optimizer.learningRate=1e-3", "lora.dropout=0.3"),
      settings,
    ).set,
  ).toEqual(["lora.dropout=0.3"]);
  expect(newSettings(remedy("lora.targets=attention", "lora.rank=8"), settings)).toEqual(
    remedy("lora.targets=attention", "lora.rank=8"),
  );
  expect(newSettings(remedy('lora.targets=["q_proj"]', "nowhere.at=1"), settings).set).toHaveLength(2);
});

it("says what to do where no setting is left", () => {
  const left = newSettings(remedy("lora.dropout=0.2"), settings);
  expect(left.set).toEqual([]);
  expect(left.text.en).toBe(
    "Do it. The run has lora.dropout=0.2 already: what is left to change is the data.",
  );
  expect(left.text.zh).toContain("lora.dropout=0.2");
  // A remedy that never had a setting keeps its words.
  expect(newSettings(remedy(), settings)).toEqual(remedy());
});

it("is what findings.json holds", async () => {
  const folder = await mkdtemp(join(tmpdir(), "attune-findings-"));
  try {
    const found = await writeFindings(
      folder,
      {
        settings,
        curves: { steps: [], evaluations: [], stepsPerEpoch: 1 },
        trainingReplies: 300,
        trainingTexts: [],
        tuned: [],
        base: [],
        specialTokens: [],
        unsafeWords: () => [],
      },
      { run: "runs/a", judged: 0 },
    );
    expect(found.map(({ id, remedy: { set } }) => ({ id, set }))).toEqual([{ id: "small-data", set: [] }]);
    const [finding] = (await readFindings(folder)).findings;
    expect(finding?.remedy.text.en).toContain("The run has lora.dropout=0.2 already");
    expect(finding?.remedy.commands).toHaveLength(1);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
