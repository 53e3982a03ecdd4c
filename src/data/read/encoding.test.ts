import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeText, detectEncoding, INVALID_BYTES, type Encoding } from "./encoding.ts";
import { jsonLines, readFileOf } from "./fixtures.contract.ts";

const rows = [
  { context: "退货需要多久？", response: "一般三到五个工作日，请您耐心等待。" },
  { context: "Where is my café order?", response: "It is on its way. 😀" },
];
const text = jsonLines(rows);

function utf16(content: string, bigEndian: boolean): Buffer {
  const bytes = Buffer.from(content, "utf16le");
  return bigEndian ? bytes.swap16() : bytes;
}

/** "退货需要多久？" and its answer in GB18030, as Python writes them. */
const GB_ROW = Buffer.concat([
  Buffer.from('{"context": "'),
  Buffer.from("cdcbbbf5d0e8d2aab6e0bec3a3bf", "hex"),
  Buffer.from('", "response": "'),
  Buffer.from("d2bbb0e3c8fdb5bdcee5b8f6b9a4d7f7c8d5a3acc7ebc4fac4cdd0c4b5c8b4fda1a3", "hex"),
  Buffer.from('"}\n'),
]);

describe("encodings", () => {
  test.each<[string, Buffer, Encoding, RegExp]>([
    ["UTF-8", Buffer.from(text), "utf-8", /no byte-order mark; \d+ multi-byte characters, all valid UTF-8/],
    ["UTF-8 with a mark", Buffer.from(`\ufeff${text}`), "utf-8", /byte-order mark EF BB BF/],
    ["UTF-16 LE with a mark", utf16(`\ufeff${text}`, false), "utf-16le", /byte-order mark FF FE/],
    ["UTF-16 BE with a mark", utf16(`\ufeff${text}`, true), "utf-16be", /byte-order mark FE FF/],
    ["UTF-16 LE", utf16(text, false), "utf-16le", /% of the second bytes of pairs are zero/],
    ["UTF-16 BE", utf16(text, true), "utf-16be", /% of the first bytes of pairs are zero/],
  ])("%s is detected, said and read", async (_, bytes, encoding, evidence) => {
    const { records, report } = await readFileOf("data.jsonl", bytes);
    expect(report.sources[0]?.encoding).toBe(encoding);
    expect(report.sources[0]?.encodingEvidence).toMatch(evidence);
    expect(records.map(({ messages }) => messages.map(({ content }) => content))).toEqual(
      rows.map((row) => [row.context, row.response]),
    );
  });

  test("GB18030 is detected by what it decodes to", async () => {
    const { records, report } = await readFileOf("data.jsonl", Buffer.concat([GB_ROW, GB_ROW]));
    expect(report.sources[0]).toMatchObject({
      encoding: "gb18030",
      encodingEvidence: "not valid UTF-8; as GB18030 it holds 48 Chinese characters and 0 invalid bytes",
    });
    expect(records[1]?.messages.map(({ content }) => content)).toEqual([rows[0]!.context, rows[0]!.response]);
  });

  test("invalid bytes reject their row; an honest U+FFFD does not", async () => {
    const good = '{"context": "a \ufffd b", "response": "c"}\n';
    const bad = Buffer.from('{"context": "caf\xe9 au lait", "response": "d"}\n', "latin1");
    const { records, rejections, report } = await readFileOf(
      "data.jsonl",
      Buffer.concat([Buffer.from(text + text + good), bad, Buffer.from(text)]),
    );
    expect(records.length).toBe(7);
    expect(rejections).toMatchObject([
      {
        rule: "invalid-bytes",
        source: { line: 6 },
        reason: "character 17 of the row is not valid in the file's encoding",
      },
    ]);
    expect(report.sources[0]?.encoding).toBe("utf-8");
  });

  test("invalid bytes in CSV and in an array on one line reject their row only", async () => {
    const bytes = (content: string): Buffer => Buffer.from(content, "latin1");
    const csv = await readFileOf("data.csv", bytes("context,response\na,b\nc\xff,d\ne,f\n"));
    expect([csv.records.length, csv.rejections[0]?.source.line]).toEqual([2, 3]);
    const row = (word: string): string => `{"context":"${word}","response":"y"}`;
    const json = await readFileOf("data.json", bytes(`[${row("a")},${row("b\xff")},${row("c")}]`));
    expect([json.records.length, json.rejections[0]?.source.row]).toEqual([2, 2]);
  });

  test("pieces may end anywhere", () => {
    const samples: Readonly<Record<Encoding, Buffer>> = {
      "utf-8": Buffer.from(text),
      "utf-16le": utf16(text, false),
      "utf-16be": utf16(text, true),
      gb18030: GB_ROW,
    };
    fc.assert(
      fc.property(
        fc.constantFrom<Encoding>("utf-8", "utf-16le", "utf-16be", "gb18030"),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 20 }),
        (encoding, sizes) => {
          const bytes = samples[encoding];
          const decoder = decodeText(encoding);
          let decoded = "";
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = sizes[i % sizes.length]!;
            decoded += decoder.push(bytes.subarray(at, at + size));
            at += size;
          }
          decoded += decoder.end();
          expect(decoder.damaged).toBe(false);
          expect(decoded).toBe(new TextDecoder(encoding, { ignoreBOM: true }).decode(bytes));
        },
      ),
      { numRuns: 200 },
    );
  });

  test("a forced encoding is believed, its damage marked", () => {
    expect(detectEncoding(Buffer.from("abc"), true, "gb18030")).toMatchObject({ encoding: "gb18030" });
    const decoder = decodeText("gb18030");
    expect(decoder.push(Buffer.from([0x22, 0xff, 0x22])) + decoder.end()).toBe(`"${INVALID_BYTES}"`);
  });
});
