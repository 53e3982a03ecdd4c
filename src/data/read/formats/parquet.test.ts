import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as zlib from "node:zlib";
import { describe, expect, test } from "vitest";
import { readEverything, readFileOf } from "../fixtures.contract.ts";

/** Written by make_parquet.py, which stands beside the files. */
const GOLDEN = fileURLToPath(new URL("../../../../test/golden/read", import.meta.url));
const golden = async (name: string): Promise<Buffer> => await readFile(join(GOLDEN, name));

describe("Parquet", () => {
  test.each(["none", "snappy", "gzip", "brotli"])("%s: every row of every row group", async (codec) => {
    const { records, report } = await readEverything([join(GOLDEN, `native.${codec}.parquet`)]);
    expect(report.sources[0]).toMatchObject({
      fileFormat: "parquet",
      layout: "native",
      rowsRead: 50,
      rowsKept: 50,
    });
    expect(records.map((record) => record.source.row)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
    expect(records[43]).toMatchObject({
      dialogueId: "21",
      turn: 1,
      intent: "refund",
      messages: [
        { role: "user", content: "Where is parcel 43? 包裹在哪里？" },
        { role: "assistant", content: "It is on its way, dear customer 1." },
      ],
    });
    expect(records[44]).not.toHaveProperty("intent");
  });

  test("a codec without an unpacker is named", async () => {
    await expect(readEverything([join(GOLDEN, "native.lz4.parquet")])).rejects.toThrow(
      /compressed with LZ4_RAW, which this version of Node cannot unpack\. Write it again with Snappy/,
    );
    const zstd = readEverything([join(GOLDEN, "native.zstd.parquet")]);
    if ("zstdDecompressSync" in zlib) expect((await zstd).records.length).toBe(50);
    else await expect(zstd).rejects.toThrow(/compressed with ZSTD.*use Node 22\.15/);
  });

  test("lists of structs, packed again, and from standard input", async () => {
    const { records } = await readEverything([join(GOLDEN, "messages.parquet")]);
    expect(records[2]?.messages.map((message) => message.content)).toEqual(["Question 2", "Answer 2"]);
    const packed = await readFileOf("messages.parquet.gz", zlib.gzipSync(await golden("messages.parquet")));
    expect(packed.records.map((record) => record.messages)).toEqual(records.map((record) => record.messages));
  });

  test("bytes that are no UTF-8 reject their row", async () => {
    const { records, rejections } = await readEverything([join(GOLDEN, "damaged.parquet")]);
    expect(records.map((record) => record.source.row)).toEqual([1, 3]);
    expect(rejections).toMatchObject([
      { rule: "invalid-bytes", source: { row: 2 }, excerpt: expect.stringContaining("\ufffd") },
    ]);
  });

  test("cut anywhere, it is a clear error", async () => {
    const whole = await golden("native.snappy.parquet");
    for (const length of [4, 8, 11, whole.length >> 1, whole.length - 1]) {
      await expect(readFileOf("cut.parquet", whole.subarray(0, length))).rejects.toThrow(
        /cut\.parquet is no whole Parquet file: .*Download or write the file again\./,
      );
    }
  });

  test("damaged inside, it is a clear error that names the row group", async () => {
    const bytes = Buffer.from(await golden("native.gzip.parquet"));
    bytes.fill(0xff, 60, 90);
    await expect(readFileOf("broken.parquet", bytes)).rejects.toThrow(
      /row group 1 of .*broken\.parquet \(rows 1 to 20\) cannot be read/,
    );
  });

  test("a run that claims more values than its page is found before it is expanded", async () => {
    const bytes = Buffer.from(await golden("native.none.parquet"));
    // Definition levels of the first page: 2 bytes long, one run of 20 times level 1.
    const levels = bytes.indexOf(Buffer.from([2, 0, 0, 0, 40, 1]));
    expect(levels).toBeGreaterThan(0);
    bytes.set([0xfe, 0x7f], levels + 4);
    await expect(readFileOf("hostile.parquet", bytes)).rejects.toThrow(
      /row group 1 of .*hostile\.parquet \(rows 1 to 20\) cannot be read: a run of 8191 values where 20 are left/,
    );
  });
});
