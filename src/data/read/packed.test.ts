import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { jsonLines, readEverything, readFileOf, withFiles, zipOf } from "./fixtures.contract.ts";

const rows = Array.from({ length: 30 }, (_, i) => ({ context: `Question ${i}`, response: `Answer ${i}` }));
const text = jsonLines(rows);

describe("gzip", () => {
  test("is known by its bytes, not its name, and may be packed twice", async () => {
    expect((await readFileOf("data.jsonl", gzipSync(text))).records.length).toBe(30);
    expect((await readFileOf("data.jsonl.gz", gzipSync(gzipSync(text)))).records.length).toBe(30);
    await expect(readFileOf("data.jsonl.gz", gzipSync(gzipSync(gzipSync(text))))).rejects.toThrow(
      /packed more than twice/,
    );
  });

  test("cut or damaged, it is a clear error", async () => {
    const whole = gzipSync(text);
    const damaged = Buffer.from(whole);
    damaged.fill(0, 40, 60);
    for (const bytes of [whole.subarray(0, whole.length - 20), whole.subarray(0, 12), damaged]) {
      await expect(readFileOf("data.jsonl.gz", bytes)).rejects.toThrow(
        /data\.jsonl\.gz is a broken gzip file: .* after [\d,]+ unpacked bytes\. Download or write the file again\./,
      );
    }
  });

  test("a bomb is stopped by ratio and by size, and both limits can be raised", async () => {
    const line = `${JSON.stringify({ context: "x".repeat(1_000_000), response: "y" })}\n`;
    const bomb = gzipSync(line.repeat(40));
    await expect(readFileOf("bomb.jsonl.gz", bomb)).rejects.toThrow(
      /bomb\.jsonl\.gz unpacks to more than 300 times its size\. If you trust the file, unpack it yourself or raise/,
    );
    const raised = await readFileOf("bomb.jsonl.gz", bomb, { limits: { unpackRatio: 5_000 } });
    expect(raised.records.length).toBe(40);
    await expect(
      readFileOf("data.jsonl.gz", gzipSync(text), { limits: { unpackedBytes: 1_000 } }),
    ).rejects.toThrow(/data\.jsonl\.gz unpacks to more than 1000 B/);
  });
});

describe("zip", () => {
  test("every member that may hold rows is a source of its own", async () => {
    const archive = zipOf([
      { name: "a.jsonl", content: text },
      { name: "deep/b.csv", content: "context,response\nx,y\n", store: true },
      { name: "c.jsonl.gz", content: gzipSync(text) },
      { name: "README.md", content: "about" },
      { name: "__MACOSX/._a.jsonl", content: "junk" },
      { name: "schema.json", content: '[{"unknown": 1}]' },
    ]);
    const { records, report } = await readFileOf("data.zip", archive);
    expect(records.length).toBe(61);
    expect(records.at(-1)?.source).toMatchObject({
      file: expect.stringMatching(/data\.zip!c\.jsonl\.gz$/),
      line: 30,
    });
    expect(report.sources.map(({ file, status }) => [file.split("!")[1], status])).toEqual([
      ["a.jsonl", "read"],
      ["deep/b.csv", "read"],
      ["c.jsonl.gz", "read"],
      ["schema.json", "skipped"],
    ]);
    expect(report.ignored.map((file) => file.split("!")[1])).toEqual(["README.md", "__MACOSX/._a.jsonl"]);
    expect(report.sources[0]).toMatchObject({
      bytes: archive.length,
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  test("comes from standard input too", async () => {
    const stdin = Readable.from([zipOf([{ name: "a.jsonl", content: text }])]);
    const { records, report } = await readEverything(["-"], { stdin });
    expect(records.length).toBe(30);
    expect(report.sources.map(({ file }) => file)).toEqual(["standard input!a.jsonl"]);
  });

  test.each([
    [
      "encrypted",
      zipOf([{ name: "a.jsonl", content: text, encrypted: true }]),
      /data\.zip!a\.jsonl is encrypted/,
    ],
    [
      "an unknown method",
      zipOf([{ name: "a.jsonl", content: text, method: 12 }]),
      /packed with zip method 12/,
    ],
    [
      "a wrong size",
      zipOf([{ name: "a.jsonl", content: text, declaredBytes: 10 }]),
      /cannot be unpacked: .*bytes/,
    ],
    ["no rows", zipOf([{ name: "a.txt", content: text }]), /the archive .*data\.zip holds no file of rows/],
    [
      "a path that climbs",
      zipOf([{ name: "../a.jsonl", content: text }]),
      /broken zip archive: invalid relative path/,
    ],
    [
      "an archive inside",
      zipOf([{ name: "b.zip", content: zipOf([]) }]),
      /data\.zip!b\.zip is an archive inside an archive/,
    ],
    [
      "half of it",
      zipOf([{ name: "a.jsonl", content: text }]).subarray(0, 300),
      /broken zip archive: .*truncated/,
    ],
  ])("%s: a clear error", async (_, archive, message) => {
    await expect(readFileOf("data.zip", archive)).rejects.toThrow(message);
  });

  test("a member whose bytes changed is found by its checksum", async () => {
    const archive = zipOf([{ name: "a.jsonl", content: text, store: true }]);
    archive[archive.indexOf("Question 29")] = 0x71;
    await expect(readFileOf("data.zip", archive)).rejects.toThrow(
      /a\.jsonl cannot be unpacked: its checksum does not fit/,
    );
  });

  test("a bomb is stopped by what it declares, before a byte is unpacked", async () => {
    const bomb = zipOf([{ name: "a.jsonl", content: text, declaredBytes: 3_000_000_000 }]);
    await expect(readFileOf("bomb.zip", bomb)).rejects.toThrow(
      /bomb\.zip unpacks to more than 300 times its size/,
    );
    const many = zipOf(Array.from({ length: 20 }, (_, i) => ({ name: `${i}.jsonl`, content: "" })));
    await expect(readFileOf("many.zip", many, { limits: { archiveMembers: 10 } })).rejects.toThrow(
      /holds 20 files; at most 10/,
    );
  });
});

test("a Parquet file on standard input is held up to the limit", async () => {
  await withFiles({}, async () => {
    const stdin = Readable.from([Buffer.from("PAR1"), Buffer.alloc(5_000)]);
    await expect(readEverything(["-"], { stdin, limits: { heldBytes: 1_000 } })).rejects.toThrow(
      /standard input has to be held in memory and is larger than 1000 B/,
    );
  });
});
