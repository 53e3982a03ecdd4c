/** GGUF files: what is read, how names and rows are restored, and what is refused. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../util/index.ts";
import { openGguf } from "./gguf.ts";
import { type TestGguf, f32, ggufBytes, text, u32, u64 } from "./gguf-writer.testing.ts";
import { checkpointName, uninterleaveRows } from "./gguf-names.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-gguf-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;
async function write(bytes: Uint8Array): Promise<string> {
  files += 1;
  const path = join(folder, `${files}.gguf`);
  await writeFile(path, bytes);
  return path;
}

/** The message that opening gives, with the path replaced. */
async function refusal(file: TestGguf | Uint8Array): Promise<string> {
  const path = await write(file instanceof Uint8Array ? file : ggufBytes(file));
  try {
    await (await openGguf(path)).store.close();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message.replaceAll(path, "FILE");
  }
  throw new Error("the file was accepted");
}

const oneTensor = (over: object): TestGguf => ({
  tensors: [{ name: "output_norm.weight", shape: [4], type: 0, data: f32(1, 2, 3, 4), ...over }],
});

describe("a sound file", () => {
  test("gives metadata, checkpoint names, [out, in] shapes and q/k rows in the checkpoint's order", async () => {
    const path = await write(
      ggufBytes({
        version: 2,
        alignment: 64,
        metadata: {
          "general.architecture": "llama",
          "general.alignment": 64,
          "llama.attention.head_count": 2,
          "llama.attention.head_count_kv": 1,
          "some.big": { type: 10, bytes: u64(2n ** 63n) },
          "some.pair": { type: 9, bytes: Buffer.concat([u32(1), u64(2), Buffer.of(255, 3)]) },
          "tokenizer.ggml.model": "gpt2",
          "tokenizer.ggml.pre": "smollm",
          "tokenizer.ggml.tokens": ["<unk>", "a", "b"],
          "tokenizer.ggml.token_type": [2, 1, 1],
          "tokenizer.ggml.merges": ["a b"],
          "tokenizer.ggml.eos_token_id": 2,
          "tokenizer.ggml.padding_token_id": 0xffff_ffff,
          "tokenizer.ggml.add_bos_token": false,
          "tokenizer.chat_template": "{{ messages }}",
        },
        tensors: [
          { name: "blk.0.attn_q.weight", shape: [8, 1], type: 0, data: f32(0, 2, 1, 3, 4, 6, 5, 7) },
          { name: "blk.0.attn_k.bias", shape: [4], type: 0, data: f32(0, 2, 1, 3) },
          {
            name: "blk.0.attn_v.weight",
            shape: [2, 3],
            type: 1,
            data: Uint8Array.of(0, 60, 0, 64, 0, 0, 0, 188, 0, 56, 0, 66),
          },
          { name: "rope_freqs.weight", shape: [2], type: 30, data: Uint8Array.of(128, 63, 0, 64) },
        ],
      }),
    );
    const { metadata, vocabulary, store, version } = await openGguf(path);
    expect(version).toBe(2);
    expect(metadata.get("some.big")).toBe(2n ** 63n);
    expect(metadata.get("some.pair")).toEqual([-1, 3]);
    expect(vocabulary).toEqual({
      model: "gpt2",
      pre: "smollm",
      tokens: ["<unk>", "a", "b"],
      tokenTypes: [2, 1, 1],
      merges: ["a b"],
      eosId: 2,
      addBos: false,
      chatTemplate: "{{ messages }}",
    });
    expect(store.names()).toEqual([
      "model.layers.0.self_attn.q_proj.weight",
      "model.layers.0.self_attn.k_proj.bias",
      "model.layers.0.self_attn.v_proj.weight",
      "rope_freqs.weight",
    ]);
    expect(store.totalParameters()).toBe(8 + 4 + 6 + 2);
    expect([...(await store.read("model.layers.0.self_attn.q_proj.weight")).data]).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7,
    ]);
    expect([...(await store.read("model.layers.0.self_attn.k_proj.bias")).data]).toEqual([0, 1, 2, 3]);
    const v = await store.read("model.layers.0.self_attn.v_proj.weight");
    expect(v.shape).toEqual([2, 3]);
    expect([...v.data]).toEqual([1, 2, 0, -1, 0.5, 3]);
    expect(store.info("model.layers.0.self_attn.v_proj.weight")).toEqual({
      storage: "F16",
      shape: [2, 3],
      bytes: 12,
      readable: true,
    });
    expect([...(await store.read("rope_freqs.weight")).data]).toEqual([1, 2]);
    const raw = await store.readRaw("model.layers.0.self_attn.q_proj.weight");
    expect([...new Float32Array(raw.bytes.buffer)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    await expect(store.read("model.layers.0.self_attn.q_prj.weight")).rejects.toThrow(
      /Did you mean model\.layers\.0\.self_attn\.q_proj\.weight/,
    );
    await store.close();
    await store.close();
    await expect(store.read("rope_freqs.weight")).rejects.toThrow(/closed/);
  });

  test("row order is the inverse of llama.cpp's permutation, for any head count and width", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 8 }), (heads, half) => {
        const headWidth = 2 * half;
        const back = uninterleaveRows(heads * headWidth, heads);
        // llama.cpp: reshape(heads, 2, half) then swap the last two.
        for (let h = 0; h < heads; h++)
          for (let s = 0; s < 2; s++)
            for (let i = 0; i < half; i++)
              expect(back(h * headWidth + 2 * i + s)).toBe(h * headWidth + s * half + i);
      }),
    );
  });

  test("names without a counterpart are kept", () => {
    expect(checkpointName("blk.12.ffn_down.weight")).toBe("model.layers.12.mlp.down_proj.weight");
    expect(checkpointName("blk.0.attn_q_norm.weight")).toBe("model.layers.0.self_attn.q_norm.weight");
    expect(checkpointName("token_embd.weight")).toBe("model.embed_tokens.weight");
    expect(checkpointName("blk.0.toString.weight")).toBe("blk.0.toString.weight");
    expect(checkpointName("attn_q.weight")).toBe("attn_q.weight");
  });
});

describe("a broken or hostile file is refused with one clear message", () => {
  test.each<[string, TestGguf | Uint8Array]>([
    ["empty", new Uint8Array(0)],
    ["not GGUF", Buffer.from("PK\u0003\u0004 something else")],
    ["version 1", { version: 1 }],
    ["big-endian", Buffer.concat([Buffer.from("GGUF"), Buffer.of(0, 0, 0, 3), Buffer.alloc(16)])],
    ["huge tensor count", { tensorCount: 2n ** 60n }],
    ["huge metadata count", { metadataCount: 2n ** 64n - 1n }],
    ["more metadata than there is", { metadataCount: 1000n }],
    ["huge string", { metadata: { key: { type: 8, bytes: u64(2n ** 62n) } } }],
    ["string past the end", { metadata: { key: { type: 8, bytes: u64(1_000_000) } } }],
    ["huge array", { metadata: { key: { type: 9, bytes: Buffer.concat([u32(4), u64(2n ** 40n)]) } } }],
    [
      "array past the end",
      { metadata: { key: { type: 9, bytes: Buffer.concat([u32(10), u64(9_000_000)]) } } },
    ],
    [
      "nested arrays",
      {
        metadata: {
          key: {
            type: 9,
            bytes: Buffer.concat(
              Array.from({ length: 6 }, () => Buffer.concat([u32(9), u64(1)])).concat(Buffer.alloc(64)),
            ),
          },
        },
      },
    ],
    ["unknown value type", { metadata: { key: { type: 99, bytes: new Uint8Array(4) } } }],
    [
      "a key twice",
      Buffer.concat([
        Buffer.from("GGUF"),
        u32(3),
        u64(0),
        u64(2),
        text("a"),
        u32(4),
        u32(1),
        text("a"),
        u32(4),
        u32(2),
      ]),
    ],
    ["alignment 0", { metadata: { "general.alignment": 0 } }],
    ["alignment text", { metadata: { "general.alignment": "32" } }],
    ["split file", { metadata: { "split.count": 3 } }],
    ["five dimensions", oneTensor({ shape: [1, 1, 1, 1, 4] })],
    ["impossible shape", oneTensor({ shape: [2n ** 52n, 2n ** 52n] })],
    ["size past 2^53", oneTensor({ shape: [2n ** 63n] })],
    ["offset past the end", oneTensor({ offset: 3200 })],
    ["huge offset", oneTensor({ offset: 2n ** 63n })],
    ["misaligned offset", oneTensor({ offset: 4 })],
    ["unreadable type", oneTensor({ type: 23 })],
    ["unknown type", oneTensor({ type: 77 })],
    ["row not whole blocks", oneTensor({ type: 8 })],
    [
      "cut off",
      ggufBytes(oneTensor({ data: f32(...Array.from({ length: 64 }, () => 0)), shape: [64] })).subarray(
        0,
        -32,
      ),
    ],
    [
      "overlap",
      {
        tensors: [
          { name: "a", shape: [16], type: 0, data: new Uint8Array(64) },
          { name: "b", shape: [16], type: 0, data: new Uint8Array(64), offset: 32 },
        ],
      },
    ],
    [
      "a tensor twice",
      {
        tensors: [
          { name: "a", shape: [4], type: 0, data: new Uint8Array(16) },
          { name: "a", shape: [4], type: 0, data: new Uint8Array(16) },
        ],
      },
    ],
    [
      "heads that do not fit",
      {
        metadata: { "general.architecture": "llama", "llama.attention.head_count": 3 },
        tensors: [{ name: "blk.0.attn_q.weight", shape: [4, 1], type: 0, data: f32(1, 2, 3, 4) }],
      },
    ],
    [
      "scores of another length",
      {
        metadata: {
          "tokenizer.ggml.model": "llama",
          "tokenizer.ggml.tokens": ["a"],
          "tokenizer.ggml.scores": [1, 2],
        },
      },
    ],
    [
      "bos id past the tokens",
      {
        metadata: {
          "tokenizer.ggml.model": "llama",
          "tokenizer.ggml.tokens": ["a"],
          "tokenizer.ggml.bos_token_id": 1,
        },
      },
    ],
  ])("%s", async (name, file) => {
    expect(await refusal(file)).toMatchSnapshot(name);
  });

  test("any cut of a sound file, and any changed byte of its header, is read or refused, never a crash", async () => {
    const sound = ggufBytes({
      metadata: {
        "general.architecture": "llama",
        "llama.attention.head_count": 1,
        "a.list": ["x", "y"],
        "a.flag": true,
      },
      tensors: [{ name: "blk.0.attn_q.weight", shape: [2, 32], type: 8, data: new Uint8Array(68) }],
    });
    const attempt = async (bytes: Uint8Array): Promise<void> => {
      const path = await write(bytes);
      try {
        await (await openGguf(path)).store.close();
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
      }
      await rm(path);
    };
    for (let length = 0; length < sound.length; length += 7) await attempt(sound.subarray(0, length));
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 4, max: sound.length - 1 }),
        fc.integer({ min: 0, max: 255 }),
        async (at, byte) => {
          const changed = Buffer.from(sound);
          changed[at] = byte;
          await attempt(changed);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a folder and a missing file", async () => {
    await expect(openGguf(folder)).rejects.toThrow(UserError);
    await expect(openGguf(join(folder, "none.gguf"))).rejects.toThrow(/does not exist/);
  });
});
