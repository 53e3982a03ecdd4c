/** The chunks that a run's graphs need for its rows. */
import { expect, test } from "vitest";
import { runBatches } from "./run-batches.ts";
import { trainConfigSchema } from "./schema.ts";

test("a vocabulary that is trained has its loss in shorter chunks, since each keeps its logits", () => {
  const config = trainConfigSchema.parse({ model: "somewhere", data: "rows.jsonl" });
  const sequence = { ids: new Int32Array(300).fill(1), weights: new Float32Array(300).fill(1), replies: 1 };
  const training = Array.from({ length: 4 }, (_, index) => ({ ...sequence, rows: [index] }));
  const chunks = (tableTrained: boolean) =>
    runBatches(config, { training }, { microTokens: 700, lanes: 1, share: false, tableTrained }).chunks;
  expect(chunks(false)).toEqual({ queryChunks: 2, lossChunks: 1 });
  expect(chunks(true)).toEqual({ queryChunks: 2, lossChunks: 2 });
});
