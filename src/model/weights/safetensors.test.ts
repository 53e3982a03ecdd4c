/** safetensors: round trips through the writer, shards, and every kind of damage. */
import { mkdtemp, open, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { float32 } from "../../compute/tensor/index.ts";
import { UserError } from "../../util/index.ts";
import { openCheckpoint, openSafetensors } from "./safetensors.ts";
import { toWrite, writeSafetensors } from "./safetensors-writer.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-safetensors-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const folder = (): Promise<string> => mkdtemp(join(root, "x-"));

function fileBytes(header: unknown, dataBytes: number, claimed?: bigint): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

describe("the writer and the reader", () => {
  test("agree on values, shapes, metadata and storage types", async () => {
    const path = join(await folder(), "a.safetensors");
    const values = float32([2, 3], [1, -2, 0.5, 3.140625, -0.0009765625, 65504]);
    await writeSafetensors(
      path,
      [
        toWrite("half", values, "F16"),
        toWrite("brain", float32([2], [1.5, -3]), "BF16"),
        toWrite("single", float32([3], [Math.PI, -1e-30, 1e30])),
        toWrite("empty", float32([0, 4], [])),
        toWrite("scalar", float32([], [7])),
        toWrite("__proto__", float32([1], [8])),
      ],
      { format: "pt", note: "grüße 你好" },
    );
    const { store, metadata } = await openSafetensors(path);
    expect(metadata).toEqual({ format: "pt", note: "grüße 你好" });
    expect(store.info("half")).toEqual({ storage: "F16", shape: [2, 3], bytes: 12, readable: true });
    const half = await store.read("half");
    expect(half.shape).toEqual([2, 3]);
    expect([...half.data]).toEqual([...values.data]);
    expect([...(await store.read("brain")).data]).toEqual([1.5, -3]);
    expect([...(await store.read("single")).data]).toEqual([Math.PI, -1e-30, 1e30].map(Math.fround));
    expect((await store.read("empty")).shape).toEqual([0, 4]);
    expect([...(await store.read("scalar")).data]).toEqual([7]);
    expect([...(await store.read("__proto__")).data]).toEqual([8]);
    expect((await store.readRaw("brain")).bytes).toEqual(Uint8Array.of(0xc0, 0x3f, 0x40, 0xc0));
    expect(store.totalParameters()).toBe(6 + 2 + 3 + 0 + 1 + 1);
    await store.close();
    // Data aligned to 8 bytes and wide types first, as the reference implementation lays it out.
    const bytes = await readFile(path);
    expect(Number(bytes.readBigUInt64LE(0)) % 8).toBe(0);
    const order = Object.keys(JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE(0)))));
    expect(order).toEqual(["__metadata__", "__proto__", "empty", "scalar", "single", "brain", "half"]);
  });

  test("a tensor larger than one read chunk decodes whole", async () => {
    const path = join(await folder(), "large.safetensors");
    const count = 3 * 1024 * 1024 + 17;
    const values = Float32Array.from({ length: count }, (_, i) => (i % 509) - 254);
    await writeSafetensors(path, [toWrite("w", float32([count], values), "BF16")]);
    const { store } = await openSafetensors(path);
    const read = (await store.read("w")).data;
    expect(read.length).toBe(count);
    expect(read.every((value, i) => value === values[i])).toBe(true);
    await store.close();
  });

  test("a tensor beyond 4 GiB is found (in a file of holes)", async (ctx) => {
    const path = join(await folder(), "holes.safetensors");
    const hole = 5 * 2 ** 30;
    const json = Buffer.from(
      JSON.stringify({
        hole: { dtype: "U8", shape: [hole], data_offsets: [0, hole] },
        w: { dtype: "F32", shape: [2], data_offsets: [hole, hole + 8] },
      }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const file = await open(path, "w");
    try {
      await file.write(Buffer.concat([length, json]));
      await file.write(Buffer.from(Float32Array.of(3, -4).buffer), 0, 8, 8 + json.length + hole);
      if ((await file.stat()).blocks * 512 > 2 ** 24) return ctx.skip("the file system has no sparse files");
    } finally {
      await file.close();
    }
    const { store } = await openSafetensors(path);
    expect([...(await store.read("w")).data]).toEqual([3, -4]);
    await store.close();
  });

  test("a tensor that memory cannot hold is refused in words", async (ctx) => {
    const path = join(await folder(), "vast.safetensors");
    const bytes = 2 ** 42;
    const json = Buffer.from(
      JSON.stringify({ w: { dtype: "F32", shape: [bytes / 4], data_offsets: [0, bytes] } }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    await writeFile(path, Buffer.concat([length, json]));
    try {
      await truncate(path, 8 + json.length + bytes);
    } catch {
      return ctx.skip("the file system has no files of 4 TiB");
    }
    const { store } = await openSafetensors(path);
    await expect(store.read("w")).rejects.toThrow(/^there is no memory for F32\[1099511627776\], 4\.00 TiB/);
    await store.close();
  });

  test("a failed write leaves nothing, under no name", async () => {
    const here = await folder();
    const broken = {
      ...toWrite("w", float32([1], [1])),
      read: () => {
        throw new Error("the source is gone");
      },
    };
    await expect(writeSafetensors(join(here, "a.safetensors"), [broken])).rejects.toThrow(
      "the source is gone",
    );
    await expect(
      writeSafetensors(join(here, "a.safetensors"), [
        toWrite("w", float32([1], [1])),
        toWrite("w", float32([1], [1])),
      ]),
    ).rejects.toThrow(/two tensors/);
    expect(await readdir(here)).toEqual([]);
  });
});

describe("a damaged or hostile file is refused with one clear message", () => {
  const entry = (over: object = {}): object => ({
    w: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...over },
  });
  test.each<[string, Buffer]>([
    ["too short", Buffer.alloc(5)],
    ["huge header", fileBytes("{}", 0, 2n ** 63n)],
    ["header past the end", fileBytes("{}", 0, 500n)],
    ["header not JSON", fileBytes("{w", 0)],
    ["header not an object", fileBytes("[1]", 0)],
    ["blank before the object", fileBytes(" {}", 0)],
    [
      "duplicate name",
      fileBytes(
        '{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0077":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        1,
      ),
    ],
    ["metadata not text", fileBytes({ __metadata__: { a: 1 } }, 0)],
    ["entry not an object", fileBytes({ w: 3 }, 0)],
    ["no dtype", fileBytes(entry({ dtype: undefined }), 8)],
    ["unknown dtype", fileBytes(entry({ dtype: "F7" }), 8)],
    ["inherited dtype", fileBytes(entry({ dtype: "toString" }), 8)],
    ["negative size", fileBytes(entry({ shape: [-2] }), 8)],
    [
      "size past 2^53",
      fileBytes('{"w":{"dtype":"F32","shape":[36893488147419103232],"data_offsets":[0,8]}}', 8),
    ],
    ["fractional size", fileBytes(entry({ shape: [2.5] }), 8)],
    ["product past 2^53", fileBytes(entry({ shape: [2 ** 40, 2 ** 40] }), 8)],
    ["too many dimensions", fileBytes(entry({ shape: Array.from({ length: 40 }, () => 1) }), 4)],
    ["offsets backwards", fileBytes(entry({ data_offsets: [8, 0] }), 8)],
    ["range not the size", fileBytes(entry({ data_offsets: [0, 4] }), 8)],
    ["cut off", fileBytes(entry(), 5)],
    ["rest after the last", fileBytes(entry(), 9)],
    ["hole", fileBytes({ ...entry(), v: { dtype: "U8", shape: [1], data_offsets: [9, 10] } }, 10)],
    ["overlap", fileBytes({ ...entry(), v: { dtype: "F32", shape: [1], data_offsets: [4, 8] } }, 8)],
  ])("%s", async (name, bytes) => {
    const path = join(await folder(), "bad.safetensors");
    await writeFile(path, bytes);
    const error = await openSafetensors(path).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message.replaceAll(path, "FILE")).toMatchSnapshot(name);
  });

  test("an element type that is known but not read is refused when it is read, by name", async () => {
    const path = join(await folder(), "int.safetensors");
    await writeFile(path, fileBytes(entry({ dtype: "I64", data_offsets: [0, 16] }), 16));
    const { store } = await openSafetensors(path);
    expect(store.info("w").readable).toBe(false);
    await expect(store.read("w")).rejects.toThrow("w is stored as I64, which cannot be read");
    await store.close();
  });

  test("any changed byte of a sound file's header is read or refused, never a crash", async () => {
    const here = await folder();
    const sound = fileBytes(
      { __metadata__: { a: "b" }, ...entry(), v: { dtype: "BF16", shape: [1, 2], data_offsets: [8, 12] } },
      12,
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(sound.length - 13), fc.nat(255), async (at, byte) => {
        const changed = Buffer.from(sound);
        changed[at] = byte;
        const path = join(here, "fuzz.safetensors");
        await writeFile(path, changed);
        try {
          await (await openSafetensors(path)).store.close();
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("a checkpoint folder", () => {
  async function sharded(weightMap: Readonly<Record<string, unknown>>): Promise<string> {
    const here = await folder();
    await writeSafetensors(join(here, "model-1.safetensors"), [
      toWrite("a", float32([1], [1])),
      toWrite("b", float32([1], [2])),
    ]);
    await writeSafetensors(join(here, "model-2.safetensors"), [toWrite("c", float32([1], [3]), "BF16")]);
    await writeFile(
      join(here, "model.safetensors.index.json"),
      JSON.stringify({ metadata: {}, weight_map: weightMap }),
    );
    return here;
  }
  const map = { a: "model-1.safetensors", b: "model-1.safetensors", c: "model-2.safetensors" };

  test("of shards reads as one", async () => {
    const store = await openCheckpoint(await sharded(map));
    expect(store.names()).toEqual(["a", "b", "c"]);
    expect([...(await store.read("b")).data, ...(await store.read("c")).data]).toEqual([2, 3]);
    expect(store.totalParameters()).toBe(3);
    await store.close();
  });

  test("of one file", async () => {
    const here = await folder();
    await writeSafetensors(join(here, "model.safetensors"), [toWrite("a", float32([1], [1]))]);
    const store = await openCheckpoint(here);
    expect(store.names()).toEqual(["a"]);
    await store.close();
  });

  test.each<[string, (here: string) => Promise<unknown>, Readonly<Record<string, unknown>>]>([
    ["a missing shard", (here) => rm(join(here, "model-2.safetensors")), map],
    ["a cut-off shard", (here) => writeFile(join(here, "model-2.safetensors"), Buffer.alloc(4)), map],
    ["a weight in the wrong shard", async () => {}, { ...map, c: "model-1.safetensors" }],
    ["a path in the map", async () => {}, { ...map, c: "../secret.safetensors" }],
    ["a number in the map", async () => {}, { ...map, c: 3 }],
    ["an empty map", async () => {}, {}],
    [
      "a weight in two shards",
      (here) =>
        writeSafetensors(join(here, "model-2.safetensors"), [
          toWrite("c", float32([1], [3])),
          toWrite("a", float32([1], [3])),
        ]),
      map,
    ],
    ["no map", (here) => writeFile(join(here, "model.safetensors.index.json"), "[]"), map],
    ["an index that is not JSON", (here) => writeFile(join(here, "model.safetensors.index.json"), "{"), map],
    [
      "only PyTorch files",
      async (here) => {
        await rm(join(here, "model.safetensors.index.json"));
        await writeFile(join(here, "pytorch_model.bin"), "x");
      },
      map,
    ],
    ["nothing", (here) => rm(join(here, "model.safetensors.index.json")), map],
  ])("with %s is refused", async (name, spoil, weightMap) => {
    const here = await sharded(weightMap);
    await spoil(here);
    const error = await openCheckpoint(here).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message.replaceAll(here, "FOLDER")).toMatchSnapshot(name);
  });
});
