/** Folding changes nothing but the work: loss and gradient of folded rows are the sums of the rows' own. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Runtime, onnxRuntime } from "../compute/runtime/index.ts";
import { type EncodedRow, foldRows } from "../data/feed/index.ts";
import { random } from "../util/index.ts";
import { type MicroBatching, batchSource, validationBatches } from "./batches.ts";
import { type TrainingEngine, trainingEngine } from "./engine.ts";
import { initialAdapter } from "./initialise.ts";
import { trainingLoop } from "./loop.ts";
import { tinyEngineOptions, tinyResident } from "./tiny-run.testing.ts";

let runtime: Runtime;
let engine: TrainingEngine;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  const options = tinyEngineOptions({ dropout: 0 });
  const initial = initialAdapter(options.layout, 1).map((x, i) => x + 0.1 * Math.sin(i));
  engine = await trainingEngine(await tinyResident(runtime), initial, options);
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  await runtime[Symbol.asyncDispose]();
});

/** Rows of dialogues: each reply a row that repeats what came before, two answers to one history, a row twice. */
function dialogueRows(): EncodedRow[] {
  const dice = random(1, "dialogues");
  const rows: EncodedRow[] = [];
  const row = (dialogue: number, ids: number[], from: number, weight = 1): EncodedRow => ({
    dialogueId: `d${dialogue}`,
    ids: Int32Array.from(ids),
    targets: Uint8Array.from(ids, (_, i) => (i >= from ? 1 : 0)),
    replies: 1,
    weight,
    example: rows.length,
  });
  for (let dialogue = 0; dialogue < 3; dialogue++) {
    let history: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const asked = [...history, ...Array.from({ length: 2 + turn }, () => dice.integer(24))];
      const reply = Array.from({ length: 3 }, () => dice.integer(24));
      rows.push(row(dialogue, [...asked, ...reply], asked.length, 1 + dialogue));
      if (turn === 1) rows.push(row(dialogue, [...asked, 5, 6], asked.length));
      history = [...asked, ...reply];
    }
  }
  rows.push(rows[0]!);
  return rows;
}

async function lossAndGradient(
  sequences: ReturnType<typeof foldRows>["sequences"],
  size: number,
): Promise<{ loss: number; gradient: Float32Array }> {
  let loss = 0;
  for (let from = 0; from < sequences.length; from += size)
    loss += await engine.accumulate(sequences.slice(from, from + size), 1, 0);
  const gradient = await engine.gradient();
  await engine.update({ learningRate: 0, weightDecay: 0, maxNorm: 1, update: 1 });
  return { loss, gradient };
}

test("gradient of the fold = sum of the gradients of its rows", async () => {
  const rows = dialogueRows();
  const folded = foldRows(rows);
  const plain = foldRows(rows, { fold: false });
  expect([folded.report.sequences, plain.report.sequences]).toEqual([6, 13]);
  expect(folded.report.factor).toBeGreaterThan(1.5);
  const want = await lossAndGradient(plain.sequences, 1);
  for (const size of [1, 4, 6]) {
    const got = await lossAndGradient(folded.sequences, size);
    expect(Math.abs(got.loss / want.loss - 1)).toBeLessThan(1e-5);
    const largest = Math.max(...want.gradient.map(Math.abs));
    const gap = Math.max(...got.gradient.map((value, i) => Math.abs(value - want.gradient[i]!)));
    expect(gap / largest).toBeLessThan(1e-5);
  }
});

test("the held-out loss is the same, folded or row by row", async () => {
  const rows = dialogueRows();
  const before = async (fold: boolean, micro: MicroBatching): Promise<number> => {
    const { sequences } = foldRows(rows, { fold });
    const loop = trainingLoop({
      engine,
      training: batchSource(sequences, { batch: 4, micro, seed: 1 }),
      validation: validationBatches(sequences, micro),
      steps: 0,
      learningRate: 0,
      weightDecay: 0,
      maxNorm: 1,
      schedule: { kind: "constant", warmupSteps: 0, totalSteps: 1 },
      evaluateEvery: 1,
      patience: { patience: 1, minDelta: 0 },
      checkpointEvery: 1,
      trainableParameters: 0,
      totalParameters: 0,
      saveCheckpoint: async () => ({ path: "", written: Promise.resolve() }),
      saveBest: async () => {},
      peakBytes: async () => 0,
    });
    for await (const event of loop) if (event.type === "evaluation") return event.validationLoss;
    throw new Error("nothing was evaluated");
  };
  const want = await before(false, { tokens: 1, share: false });
  expect(Number.isFinite(want)).toBe(true);
  for (const tokens of [1, 20, 1000]) {
    for (const share of [true, false])
      expect(Math.abs((await before(true, { tokens, share })) / want - 1)).toBeLessThan(1e-6);
  }
});
