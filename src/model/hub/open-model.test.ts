/** Opening a model by reference: folder, file, hub; and what each lacks in one clear message. */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../util/index.ts";
import { expectedWeights, specFromConfig } from "../decoder/index.ts";
import type { GgufVocabulary } from "../text/index.ts";
import { f32, ggufBytes } from "../weights/gguf-writer.testing.ts";
import { openModel } from "./open-model.ts";
import { isSafePath, parseHubReference, resolveReference } from "./reference.ts";
import { sha256, testHub } from "./server.testing.ts";
import { hubSettings } from "./settings.ts";
import { tinyCheckpoint, tinyConfig } from "./tiny-model.testing.ts";

let root: string;
let files: Record<string, Buffer>;
let model: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-open-"));
  files = await tinyCheckpoint();
  model = join(root, "model");
  await put(model, files);
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function put(folder: string, content: Readonly<Record<string, Buffer>>): Promise<void> {
  for (const [name, bytes] of Object.entries(content)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
}

/** The tiny model as a GGUF of zeros with a vocabulary of 40 tokens. */
function tinyGguf(withVocabulary = true): Buffer {
  const ggufNames: Readonly<Record<string, string>> = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    input_layernorm: "attn_norm",
    post_attention_layernorm: "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
  };
  const rename = (name: string): string => {
    const [, layer, part] = /^(?:model\.layers\.(\d+)\.)?(.+)\.weight$/.exec(name)!;
    return `${layer === undefined ? "" : `blk.${layer}.`}${ggufNames[part!]}.weight`;
  };
  return ggufBytes({
    metadata: {
      "general.architecture": "llama",
      "llama.block_count": 2,
      "llama.context_length": 64,
      "llama.embedding_length": 16,
      "llama.feed_forward_length": 24,
      "llama.attention.head_count": 4,
      "llama.attention.head_count_kv": 2,
      "llama.attention.layer_norm_rms_epsilon": 1e-5,
      ...(withVocabulary
        ? {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": Array.from({ length: 40 }, (_, i) => `t${i}`),
          }
        : {}),
    },
    tensors: expectedWeights(specFromConfig(tinyConfig)).map(({ name, shape }) => ({
      name: rename(name),
      shape,
      type: 0,
      data: f32(...Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0)),
    })),
  });
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as Error).message.replaceAll(root, "ROOT");
}

describe("openModel", () => {
  test("opens a folder: spec, weights, tokenizer files, template", async () => {
    const opened = await openModel(model);
    expect(opened).toMatchObject({
      reference: model,
      name: model,
      folder: model,
      tokenizer: {
        kind: "files",
        tokenizerJson: { version: "1.0" },
        tokenizerConfig: { eos_token: "</s>" },
        at: join(model, "tokenizer.json"),
      },
      chatTemplate: "{{ messages }}",
      generationConfig: { eos_token_id: 2 },
    });
    expect(opened.spec).toEqual(specFromConfig(tinyConfig));
    expect((await opened.store.read("model.norm.weight")).shape).toEqual([16]);
    await opened.close();
    await opened.close();
  });

  test("opens a .gguf, and a folder that holds just one", async () => {
    const folder = join(root, "gguf");
    await put(folder, { "tiny.Q4_0.gguf": tinyGguf() });
    const byFile = await openModel(join(folder, "tiny.Q4_0.gguf"));
    // The vocabulary is what the text room takes.
    const vocabulary: GgufVocabulary | undefined =
      byFile.tokenizer.kind === "gguf" ? byFile.tokenizer.vocabulary : undefined;
    expect(vocabulary?.model).toBe("gpt2");
    const byFolder = await openModel(folder);
    expect(byFile.file).toBe("tiny.Q4_0.gguf");
    expect(byFile.tokenizer.kind === "gguf" && byFile.tokenizer.vocabulary.tokens.length).toBe(40);
    expect(byFolder.fingerprint).toBe(byFile.fingerprint);
    await byFile.close();
    await byFolder.close();
  });

  test("opens a model of a hub, the same as its folder", async () => {
    const hub = await testHub();
    try {
      hub.files = files;
      const settings = {
        kind: "huggingface",
        endpoint: hub.endpoint,
        offline: false,
        cacheFolder: join(root, "cache"),
      } as const;
      const opened = await openModel("shop/tiny", { settings });
      const local = await openModel(model);
      expect(opened).toMatchObject({ name: "shop/tiny", revision: "main", commit: hub.commit });
      expect(opened.fingerprint).toBe(local.fingerprint);
      await opened.close();
      await local.close();
      hub.files = { "tiny.gguf": tinyGguf() };
      hub.commit = sha256(Buffer.from("other")).slice(0, 40);
      const gguf = await openModel("shop/tiny", { settings });
      expect(gguf.file).toBe("tiny.gguf");
      await gguf.close();
    } finally {
      await hub.close();
    }
  });

  test("the fingerprint tells models apart", async () => {
    const other = join(root, "other");
    await put(other, await tinyCheckpoint({ seed: 2 }));
    const sharded = join(root, "sharded");
    await put(sharded, await tinyCheckpoint({ sharded: true }));
    const [a, b, c] = await Promise.all([openModel(model), openModel(other), openModel(sharded)]);
    expect(a.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(b.fingerprint).not.toBe(a.fingerprint);
    expect(c.fingerprint).toBe(a.fingerprint);
    await Promise.all([a.close(), b.close(), c.close()]);
  });

  test.each<[string, (folder: string) => Promise<unknown>]>([
    ["an empty folder", (folder) => rm(folder, { recursive: true }).then(() => mkdir(folder))],
    ["no configuration", (folder) => rm(join(folder, "config.json"))],
    ["no weights", (folder) => rm(join(folder, "model.safetensors"))],
    ["no tokenizer", (folder) => rm(join(folder, "tokenizer.json"))],
    [
      "cut-off weights",
      (folder) => writeFile(join(folder, "model.safetensors"), files["model.safetensors"]!.subarray(0, -100)),
    ],
    ["a broken configuration", (folder) => writeFile(join(folder, "config.json"), '{"model_type":')],
    [
      "another configuration",
      (folder) => writeFile(join(folder, "config.json"), JSON.stringify({ ...tinyConfig, hidden_size: 32 })),
    ],
    [
      "a broken chat template file",
      async (folder) => {
        await rm(join(folder, "chat_template.jinja"));
        await writeFile(join(folder, "chat_template.json"), "[]");
      },
    ],
    [
      "an adapter",
      async (folder) => {
        await rm(join(folder, "config.json"));
        await writeFile(join(folder, "adapter_config.json"), "{}");
      },
    ],
    [
      "two GGUF files",
      async (folder) => {
        await rm(join(folder, "config.json"));
        await put(folder, { "a.gguf": tinyGguf(), "b.gguf": tinyGguf() });
      },
    ],
    [
      "a GGUF without a tokenizer",
      async (folder) => {
        await rm(join(folder, "config.json"));
        await put(folder, { "a.gguf": tinyGguf(false) });
      },
    ],
  ])("refuses %s", async (name, spoil) => {
    const folder = join(root, "spoiled");
    await rm(folder, { recursive: true, force: true });
    await cp(model, folder, { recursive: true });
    await spoil(folder);
    expect(await refusal(openModel(folder))).toMatchSnapshot(name);
  });
});

describe("a reference", () => {
  test("names a repository, a revision and a file", () => {
    expect(parseHubReference("HuggingFaceTB/SmolLM2-135M")).toEqual({
      kind: "hub",
      id: "HuggingFaceTB/SmolLM2-135M",
    });
    expect(parseHubReference("a/b@refs/pr/1:q/c.gguf")).toEqual({
      kind: "hub",
      id: "a/b",
      revision: "refs/pr/1",
      file: "q/c.gguf",
    });
  });

  test.each([
    "",
    "gpt2",
    "a/b/c",
    "a//b",
    "a/..",
    "../b",
    "a/b@",
    "a/b:",
    "a/b@x y",
    "a/b@../x",
    "a/b:../x.gguf",
    "a/b:/x.gguf",
    "a/b--c",
    "-a/b",
    "a/b@x@y:../z",
    "ä/b",
    `a/${"b".repeat(97)}`,
  ])("%j is none", (text) => {
    expect(() => parseHubReference(text)).toThrow(UserError);
  });

  test("prefers what is on the disk, and does not take a path for a repository", async () => {
    expect(await resolveReference(model)).toEqual({ kind: "folder", path: model });
    expect(await resolveReference("~/")).toEqual({ kind: "folder", path: homedir() });
    expect(await refusal(resolveReference(join(root, "none")))).toMatchSnapshot("missing folder");
    expect(await refusal(resolveReference("models/none.gguf"))).toMatchSnapshot("missing file");
    expect(await refusal(resolveReference(join(model, "config.json")))).toMatchSnapshot("another file");
  });

  test.each(["a", "a/b.c", "ü/你好"])("%j is a safe path", (path) => {
    expect(isSafePath(path)).toBe(true);
  });
  test.each([
    "",
    "/a",
    "a/",
    "a//b",
    "./a",
    "a/../b",
    "..",
    "C:/a",
    "a\\b",
    "a\u0000b",
    "a\nb",
    "x".repeat(1025),
  ])("%j is not", (path) => {
    expect(isSafePath(path)).toBe(false);
  });
});

describe("settings", () => {
  test("follow huggingface_hub's variables", async () => {
    expect(await hubSettings({ XDG_CACHE_HOME: "/c", HF_TOKEN_PATH: join(root, "none") })).toEqual({
      kind: "huggingface",
      endpoint: "https://huggingface.co",
      offline: false,
      cacheFolder: join("/c", "huggingface", "hub"),
    });
    await writeFile(join(root, "token"), "hf_saved\n");
    expect(
      await hubSettings({ HF_HOME: root, HF_ENDPOINT: "https://hf-mirror.com/", HF_HUB_OFFLINE: "1" }),
    ).toEqual({
      kind: "huggingface",
      endpoint: "https://hf-mirror.com",
      token: "hf_saved",
      offline: true,
      cacheFolder: join(root, "hub"),
    });
    const { token, cacheFolder } = await hubSettings({
      HF_HOME: root,
      HF_TOKEN: " hf_given ",
      HF_HUB_CACHE: "/d",
    });
    expect([token, cacheFolder]).toEqual(["hf_given", "/d"]);
  });

  test("know ModelScope", async () => {
    expect(
      await hubSettings({ ATTUNE_HUB: "modelscope", XDG_CACHE_HOME: "/c", MODELSCOPE_API_TOKEN: "ms" }),
    ).toEqual({
      kind: "modelscope",
      endpoint: "https://modelscope.cn",
      token: "ms",
      offline: false,
      cacheFolder: join("/c", "attune", "modelscope"),
    });
  });

  test.each<[string, Record<string, string>]>([
    ["another hub", { ATTUNE_HUB: "github" }],
    ["no address", { HF_ENDPOINT: "huggingface.co" }],
    ["a password in the address", { HF_ENDPOINT: "https://me:secret@hub.example" }],
    ["a broken token", { HF_TOKEN: "hf_se\ncret" }],
  ])("%s is refused, without showing secrets", async (_, environment) => {
    const message = await refusal(hubSettings(environment));
    expect(message).not.toMatch(/se\n?cret/);
  });
});
