/** Mixed precision as it is typed: what the plan says of it, a run in fp16, what it shows and leaves behind. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { tinyProject } from "../../src/project/tiny-project.testing.ts";
import { attune, resultOf } from "./attune.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-precision-"));
  await tinyProject(folder, 12);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const set = (values: Readonly<Record<string, string | number>>): string[] =>
  Object.entries(values).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
const train = (values: Readonly<Record<string, string | number>>, ...words: readonly string[]) =>
  attune(["train", "--model", "model", "--data", "train.jsonl", ...set(values), ...words], { cwd: folder });

it("a plan counts the weights of fp16 in two bytes", async () => {
  const weightBytes = async (precision: string): Promise<number> => {
    const ended = await train({ "training.precision": precision }, "--dry-run", "--json");
    expect(ended.code, ended.stderr).toBe(0);
    return (resultOf(ended)["memoryBytesByPart"] as { weightBytes: number }).weightBytes;
  };
  const [plain, half] = [await weightBytes("float32"), await weightBytes("fp16")];
  // In each of two layers q and o (16 × 16), k and v (8 × 16), and three matrices of 24 × 16.
  expect(plain - half).toBe(2 * 2 * (2 * 16 * 16 + 2 * 8 * 16 + 3 * 24 * 16));
});

it(
  "a run in fp16 says what it gains, tells its loss scale and leaves an adapter that answers",
  {
    timeout: 120_000,
  },
  async () => {
    const ended = await train(
      {
        "training.precision": "fp16",
        "training.activations": "float16",
        "training.checkpointing": "attention",
        "training.steps": 2,
        "training.batch": 4,
        "optimizer.learningRate": 0.02,
      },
      "--out",
      "run",
    );
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain("no sample replies are shown while it trains: weights in float16");
    expect(ended.stdout).toMatch(/precision fp16: on the CPU products stay float32 .* gains no time/);
    expect(ended.stdout).toMatch(/^done .*; loss scale 65,536, 0 skipped$/m);
    const [, before, best] = /validation loss ([\d.]+) → ([\d.]+)/.exec(ended.stdout) ?? [];
    expect(Number(best)).toBeLessThan(Number(before));
    const chat = await attune(["chat", "run", "--max-new-tokens", "3", "--json"], {
      cwd: folder,
      input: "tea?\n",
    });
    expect(chat.code, chat.stderr).toBe(0);
    expect(resultOf(chat)).toMatchObject({ type: "result" });
  },
);
