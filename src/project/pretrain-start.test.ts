/** The start of a pre-training run: what is held out, the tokenizer that is taken, and that it is read back as it was written. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PretrainConfig, pretrainConfigSchema, trainConfigOf } from "./pretrain-schema.ts";
import { holdOut, makeStart, openStart, readStart, writeStart } from "./pretrain-start.ts";

const quickstart = fileURLToPath(new URL("../../assets/quickstart/model", import.meta.url));
let folder: string;
let text: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-start-"));
  text = join(folder, "text.txt");
  await writeFile(text, "The tea is on its way. The tea is green. The pot is not on its way.\n".repeat(20));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const configOf = (changes: Record<string, unknown> = {}): PretrainConfig =>
  pretrainConfigSchema.parse({
    data: { train: text, validationShare: 0.1 },
    tokenizer: { vocabulary: 300 },
    shape: { hiddenSize: 16, layers: 1, heads: 2, context: 32 },
    ...changes,
  });

describe("what is held out", () => {
  const corpus = (lengths: readonly number[]) => {
    const starts = [0];
    for (const length of lengths) starts.push(starts.at(-1)! + length);
    return { ids: Int32Array.from({ length: starts.at(-1)! }, (_, i) => i), starts };
  };
  const documents = ({ ids, starts }: ReturnType<typeof corpus>): number[][] =>
    starts.slice(1).map((end, i) => [...ids.subarray(starts[i], end)]);

  test("whole documents, where there are enough", () => {
    const all = corpus(Array.from({ length: 20 }, (_, i) => 2 + (i % 3)));
    const held = holdOut(all, 0.1, 1);
    const after = documents(held.corpus as ReturnType<typeof corpus>);
    expect([held.heldOutFrom, after.length]).toEqual([18, 20]);
    expect(after.toSorted((a, b) => a[0]! - b[0]!)).toEqual(documents(all));
    expect(holdOut(all, 0.1, 1)).toEqual(held);
    expect(holdOut(all, 0.1, 2)).not.toEqual(held);
  });

  test("the end of each, where there are few; nothing at 0", () => {
    const held = holdOut(corpus([10, 20]), 0.1, 1);
    expect(held.heldOutFrom).toBe(2);
    const after = documents(held.corpus as ReturnType<typeof corpus>);
    expect(after.map((ids) => ids.length)).toEqual([9, 18, 1, 2]);
    expect(after.slice(2)).toEqual([[9], [28, 29]]);
    expect(holdOut(corpus([10, 20]), 0, 1)).toMatchObject({ heldOutFrom: 2, split: "nothing is held out" });
  });
});

test("a start is read back as it was written; a damaged one is refused", async () => {
  const start = await makeStart(configOf());
  const path = join(folder, "start");
  await writeStart(path, start);
  const again = await readStart(path);
  expect(again).toEqual(start);
  const opened = [start, again].map((one) => openStart(one, path).model);
  expect(opened[0]!.opened.fingerprint).toBe(opened[1]!.opened.fingerprint);
  expect(await opened[0]!.store.read("model.embed_tokens.weight")).toEqual(
    await opened[1]!.store.read("model.embed_tokens.weight"),
  );
  await writeFile(join(path, "corpus.bin"), new Uint8Array(8));
  await expect(readStart(path)).rejects.toThrow(/is damaged/);
  await expect(readStart(join(folder, "none"))).rejects.toThrow(/does not exist/);
});

test("a tokenizer that is given is taken as it is, from its folder or its file", async () => {
  for (const from of [quickstart, join(quickstart, "tokenizer.json")]) {
    const { model } = openStart(await makeStart(configOf({ tokenizer: from })), folder);
    expect(model.spec.vocabulary).toBe(6144);
    expect(model.renderer.tokenizer.encode("您的订单 tea")).toHaveLength(3);
  }
  await expect(makeStart(configOf({ tokenizer: folder }))).rejects.toThrow(/has no tokenizer.json/);
});

test("shapes that cannot be are refused", async () => {
  const shape = (changes: object) => configOf({ shape: { hiddenSize: 16, layers: 1, heads: 2, ...changes } });
  await expect(makeStart(shape({ heads: 3 }))).rejects.toThrow(/16, which 3 heads do not divide/);
  expect(() => pretrainConfigSchema.parse({ data: text, shape: { layers: 0 } })).toThrow();
  await expect(makeStart(shape({ headWidth: 3 }))).rejects.toThrow(/width of a head is 3.*even/);
  await expect(makeStart(shape({ heads: 4, kvHeads: 3 }))).rejects.toThrow(/kvHeads is 3.*4 heads/);
});

test("text that allows no such vocabulary says so", async () => {
  await expect(makeStart(configOf({ tokenizer: { vocabulary: 5000 } }))).rejects.toThrow(/tokens fewer/);
});

test("the run's own configuration is one that every command reads", () => {
  const config = trainConfigOf(configOf({ optimizer: { learningRate: 0.5 } }), "runs/x");
  expect(config).toMatchObject({
    method: "pretrain",
    model: join("runs/x", "start"),
    data: { train: join("runs/x", "start") },
    training: { batchTokens: 8192, maxLength: 32, fold: false },
    optimizer: { learningRate: 0.5, decay: "matrices", beta2: 0.95 },
    evaluation: { probes: 0 },
  });
});
