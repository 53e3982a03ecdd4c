/** Training data as a run reads them: the share of long rows. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Example } from "../model/text/index.ts";
import { trainConfigSchema } from "./schema.ts";
import { readTrainingData } from "./training-data.ts";

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-training-data-"));
  const rows = Array.from({ length: 100 }, (_, i) => {
    const turns = i % 20 === 0 ? 7 : 2;
    const context = Array.from({ length: 2 * turns - 1 }, (__, t) => ({
      role: t % 2 === 0 ? "user" : "assistant",
      content: `message ${t} of dialogue ${i}`,
    }));
    return JSON.stringify({ dialogue_id: `d${i}`, context, response: `reply ${i}` });
  });
  await writeFile(join(root, "rows.jsonl"), `${rows.join("\n")}\n`);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const read = (longShare: number | undefined) =>
  readTrainingData(
    trainConfigSchema.parse({ model: "m", data: { train: join(root, "rows.jsonl"), longShare } }).data,
    42,
  );
const isLong = ({ messages }: Example): boolean => messages.filter(({ role }) => role === "user").length > 5;
const shareOf = (examples: readonly Example[]): number => examples.filter(isLong).length / examples.length;

describe("data.longShare", () => {
  it("repeats long rows until they have the share, and leaves what is held out alone", async () => {
    const [plain, raised] = [await read(undefined), await read(0.2)];
    expect(shareOf(plain.training)).toBeLessThan(0.08);
    expect(shareOf(raised.training)).toBeGreaterThanOrEqual(0.2);
    expect(shareOf(raised.training)).toBeLessThan(0.22);
    expect(raised.validation).toEqual(plain.validation);
    expect(new Set(raised.training).size).toBe(plain.training.length);
    expect(raised.split).toMatch(/long rows repeated, \d % → 2\d %$/);
    expect(await read(0.2)).toEqual(raised);
  });

  it("repeats no row more than ten times", async () => {
    const { training } = await read(0.9);
    const counts = new Map<Example, number>();
    for (const example of training) counts.set(example, (counts.get(example) ?? 0) + 1);
    expect(Math.max(...counts.values())).toBe(10);
  });
});
