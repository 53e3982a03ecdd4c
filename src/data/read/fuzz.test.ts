import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { UserError } from "../../util/index.ts";
import { jsonLines, readEverything, withFiles, zipOf, type Everything } from "./fixtures.contract.ts";

/** `ATTUNE_FUZZ_RUNS=2000` for the long run. */
const RUNS = Number(process.env["ATTUNE_FUZZ_RUNS"] ?? 300);
const GOLDEN = fileURLToPath(new URL("../../../test/golden/read", import.meta.url));

const native = Array.from({ length: 8 }, (_, i) => ({
  context: i % 2 === 0 ? `User: Wo ist Paket ${i}? 包裹\nAgent: Hm 😀\nUser: "Bitte"` : ["Hi", `Nr. ${i}`],
  response: `It is, on its way ${i}.\nReally.`,
  intent: "track",
  dialogue_id: i,
}));
const messages = native.map(({ response }) => ({
  messages: [
    { role: "user", content: [{ type: "text", text: "Hi" }] },
    { role: "assistant", content: null, tool_calls: [{ function: { name: "f", arguments: "{}" } }] },
    { role: "tool", content: "1" },
    { role: "assistant", content: response },
  ],
}));
const sgd = native.map(({ dialogue_id, response }) => ({
  dialogue_id,
  turns: [
    {
      speaker: "USER",
      utterance: "A film",
      frames: [{ actions: [], state: { active_intent: "FindMovies" } }],
    },
    { speaker: "SYSTEM", utterance: response, frames: [] },
  ],
}));
const crosswoz = Object.fromEntries(
  native.map(({ dialogue_id }) => [
    `d${dialogue_id}`,
    {
      messages: [
        { role: "usr", content: "找酒店", dialog_act: [["Request", "酒店", "名称", ""]] },
        { role: "sys", content: "好的", dialog_act: [] },
      ],
    },
  ]),
);
const sharegpt = native.map(({ response }) => ({
  conversations: [
    { from: "human", value: "Hi" },
    { from: "gpt", value: response },
  ],
}));
const table = (delimiter: string): string =>
  [
    ["instruction", "response", "intent"],
    ...native.map(({ response, intent }) => ["cancel", response, intent]),
  ]
    .map((row) => row.map((cell) => (/["\n,\t]/.test(cell) ? `"${cell}"` : cell)).join(delimiter) + "\n")
    .join("");

async function seeds(): Promise<(readonly [name: string, bytes: Buffer])[]> {
  const texts: Record<string, string> = {
    "native.jsonl": jsonLines(native),
    "messages.jsonl": jsonLines(messages),
    "pretty.json": JSON.stringify(sharegpt, undefined, 2),
    "sgd.json": JSON.stringify(sgd),
    "crosswoz.json": JSON.stringify(crosswoz, undefined, 4),
    "wrapped.json": JSON.stringify({ version: 1, data: native }),
    "bitext.csv": table(","),
    "bitext.tsv": table("\t"),
  };
  const files: (readonly [string, Buffer])[] = Object.entries(texts).map(([name, text]) => [
    name,
    Buffer.from(text),
  ]);
  files.push(["wide.jsonl", Buffer.from(`\ufeff${texts["native.jsonl"]}`, "utf16le")]);
  files.push(["packed.jsonl.gz", gzipSync(texts["native.jsonl"]!)]);
  files.push([
    "archive.zip",
    zipOf([
      { name: "a.jsonl", content: texts["native.jsonl"]! },
      { name: "b.csv", content: texts["bitext.csv"]!, store: true },
    ]),
  ]);
  for (const name of await readdir(GOLDEN)) {
    // The codecs that Node 20 cannot unpack would end every run at once.
    if (name.endsWith(".parquet") && !/zstd|lz4/.test(name))
      files.push([name, await readFile(join(GOLDEN, name))]);
  }
  return files;
}

interface Mutation {
  readonly kind: "flip" | "insert" | "delete" | "repeat" | "cut" | "number";
  /** Where, as a share of the length. */
  readonly at: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

const TOKENS = [
  '"',
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "\n",
  "\\",
  "\\ud800",
  "\u0000",
  "null",
  "1e999",
  '"__proto__":',
  "\ufeff",
  "\t",
  "\r",
  "<tool>",
];
const bytes = fc.oneof(
  fc.constantFrom(...TOKENS).map((token) => new Uint8Array(Buffer.from(token))),
  fc.uint8Array({ minLength: 1, maxLength: 6 }),
);
const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom("flip", "insert", "delete", "repeat", "cut", "number"),
  at: fc.noBias(fc.integer({ min: 0, max: 99_999 })).map((place) => place / 100_000),
  length: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 300 })),
  bytes,
});

function mutate(input: Buffer, { kind, at, length, bytes: extra }: Mutation): Buffer {
  const place = Math.floor(at * input.length);
  const [before, after] = [input.subarray(0, place), input.subarray(place)];
  switch (kind) {
    case "flip":
      return Buffer.concat([before, extra, after.subarray(extra.length)]);
    case "insert":
      return Buffer.concat([before, extra, after]);
    case "delete":
      return Buffer.concat([before, after.subarray(length)]);
    case "repeat":
      return Buffer.concat([before, after.subarray(0, length), after]);
    case "cut":
      return before;
    case "number":
      return Buffer.from(
        input.toString("latin1").replace(/"(?:content|response|utterance|value)": ?"/, '"content": 7, "x":"'),
        "latin1",
      );
  }
}

function check({ records, rejections, report }: Everything): void {
  let kept = 0;
  let rejected = 0;
  for (const source of report.sources) {
    expect(source.rowsRead).toBe(source.rowsKept + source.rowsRejected);
    expect(Object.values(source.rejectedBy).reduce((sum, count) => sum + count, 0)).toBe(source.rowsRejected);
    kept += source.records;
    rejected += source.rowsRejected;
  }
  expect([kept, rejected]).toEqual([records.length, rejections.length]);
  for (const { reason, excerpt, rule } of rejections) {
    expect([rule, reason, excerpt.length <= 2_000]).toEqual([
      expect.stringMatching(/^[a-z-]+$/),
      expect.any(String),
      true,
    ]);
  }
}

test(`${RUNS} mutated inputs: never anything but rows, rejections and UserErrors`, async () => {
  const files = await seeds();
  let read = 0;
  await withFiles({}, async (folder) => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...files),
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        fc.constantFrom("conversation" as const, "reply" as const),
        fc.boolean(),
        async ([name, seed], mutations, unfold, fromStdin) => {
          const input = mutations.reduce(mutate, seed);
          const path = join(folder, name);
          if (!fromStdin) await writeFile(path, input);
          try {
            check(await readEverything([fromStdin ? "-" : path], { unfold, stdin: Readable.from([input]) }));
            read += 1;
          } catch (error) {
            if (!(error instanceof UserError)) throw error;
            expect(error.message.length).toBeLessThan(3_000);
          }
        },
      ),
      { numRuns: RUNS, endOnFailure: true },
    );
  });
  // About half of the inputs are broken only a little: they must be read, not given up. The share varies with the draw.
  expect(read).toBeGreaterThan(RUNS * 0.3);
}, 120_000);
