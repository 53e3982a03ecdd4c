/** Fetching from a hub that cuts connections, lies about bytes, redirects, refuses, stalls: and from its cache. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CancelledError, UserError } from "../../util/index.ts";
import { type FetchOptions, type FetchedModel, fetchModel } from "./fetch-model.ts";
import type { HubEvent } from "./progress.ts";
import { parseHubReference } from "./reference.ts";
import { type TestHub, gitHash, sha256, testHub } from "./server.testing.ts";
import type { HubSettings } from "./settings.ts";
import { tinyCheckpoint } from "./tiny-model.testing.ts";

const token = "hf_verysecrettoken";
let hub: TestHub;
let cacheFolder: string;
let events: HubEvent[];
beforeEach(async () => {
  for (const name of ["HTTPS_PROXY", "https_proxy", "NODE_USE_ENV_PROXY"]) vi.stubEnv(name, undefined);
  hub = await testHub();
  hub.files = await tinyCheckpoint();
  cacheFolder = await mkdtemp(join(tmpdir(), "attune-hub-"));
  events = [];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  await rm(cacheFolder, { recursive: true, force: true });
});

const settings = (over: Partial<HubSettings> = {}): HubSettings => ({
  kind: "huggingface",
  endpoint: hub.endpoint,
  token,
  offline: false,
  cacheFolder,
  ...over,
});
const fetched = (reference = "shop/tiny", over: Partial<HubSettings> = {}, options: FetchOptions = {}) =>
  fetchModel(parseHubReference(reference), {
    settings: settings(over),
    firstDelay: 1,
    onEvent: (event) => events.push(event),
    ...options,
  });
/** The message of a refusal, with what changes from run to run replaced. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  const { message } = error as Error;
  expect(message).not.toContain(token);
  expect(message).not.toContain("signature");
  return message
    .replaceAll(new URL(hub.endpoint).host, "HUB")
    .replaceAll(cacheFolder, "CACHE")
    .replaceAll(/127\.0\.0\.1:\d+/g, "OTHER");
}
/** Buffers compared as such: an assertion's own comparison takes seconds for them. */
async function expectFile(model: FetchedModel, path: string, bytes: Buffer | undefined): Promise<void> {
  expect((await readFile(join(model.folder, path))).equals(bytes!), path).toBe(true);
}
const fileRequests = (): string[] =>
  hub.requests
    .filter(({ path }) => path.includes("/resolve/") || path.includes("/storage/"))
    .map(({ path }) => path.split("/").at(-1)!);
const blobs = async (): Promise<string[]> =>
  readdir(join(cacheFolder, "models--shop--tiny", "blobs")).catch(() => []);
const weights = (): Buffer => hub.files["model.safetensors"]!;

/** Replaces the weights by bytes of a certain size, so that faults have room. */
function largeWeights(size = 300_000): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8)) & 255;
  hub.files["model.safetensors"] = bytes;
  return bytes;
}

describe("a fetch", () => {
  test("takes what the model needs and nothing else, into huggingface_hub's layout", async () => {
    hub.files["README.md"] = Buffer.from("# A model");
    hub.files["pytorch_model.bin"] = Buffer.alloc(5000);
    hub.files["onnx/model.onnx"] = Buffer.alloc(5000);
    hub.files["consolidated.safetensors"] = Buffer.alloc(5000);
    const model = await fetched();
    expect(fileRequests().sort()).toEqual([
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const folder = join(cacheFolder, "models--shop--tiny");
    expect(model).toEqual({
      folder: join(folder, "snapshots", hub.commit),
      id: "shop/tiny",
      revision: "main",
      commit: hub.commit,
    });
    expect(await readFile(join(folder, "refs", "main"), "utf8")).toBe(hub.commit);
    expect(await readlink(join(model.folder, "config.json"))).toBe(
      `../../blobs/${gitHash(hub.files["config.json"]!)}`,
    );
    expect(await readlink(join(model.folder, "model.safetensors"))).toBe(`../../blobs/${sha256(weights())}`);
    await expectFile(model, "model.safetensors", weights());
    expect((await blobs()).every((name) => /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(name))).toBe(true);
    expect(events[0]).toMatchObject({ type: "plan", files: 6 });
    const last = events.at(-1)!;
    expect(last).toMatchObject({ type: "progress", secondsLeft: 0 });
    expect(last.type === "progress" && last.bytesDone === last.bytesTotal).toBe(true);
  });

  test("of a complete cache asks only for the listing; of a complete commit asks for nothing", async () => {
    await fetched();
    hub.requests.length = 0;
    await fetched();
    expect(hub.requests.map(({ path }) => path)).toEqual(["/api/models/shop/tiny/revision/main?blobs=true"]);
    hub.requests.length = 0;
    await fetched(`shop/tiny@${hub.commit}`);
    expect(hub.requests).toEqual([]);
  });

  test("of a new commit fetches only the files that changed", async () => {
    await fetched();
    hub.requests.length = 0;
    hub.commit = "d".repeat(40);
    hub.files["generation_config.json"] = Buffer.from('{"eos_token_id":3}');
    const model = await fetched();
    expect(fileRequests()).toEqual(["generation_config.json"]);
    await expectFile(model, "model.safetensors", weights());
    expect(
      existsSync(join(cacheFolder, "models--shop--tiny", "snapshots", "c".repeat(40), "config.json")),
    ).toBe(true);
  });

  test("of a sharded checkpoint takes the shards that its index names", async () => {
    hub.files = { ...(await tinyCheckpoint({ sharded: true })), "model-old.safetensors": Buffer.alloc(2000) };
    const model = await fetched("shop/tiny@v1.0");
    const names = (await readdir(model.folder)).sort();
    expect(names).toContain("model-00002-of-00002.safetensors");
    expect(names).not.toContain("model-old.safetensors");
    expect(await readFile(join(cacheFolder, "models--shop--tiny", "refs", "v1.0"), "utf8")).toBe(hub.commit);
  });

  test("of a repository of GGUF files takes the one that is named, in a folder too", async () => {
    hub.files = {
      "a.gguf": Buffer.alloc(2000, 1),
      "q8/b.gguf": Buffer.alloc(3000, 2),
      "README.md": Buffer.alloc(3),
    };
    expect(await refusal(fetched())).toMatchSnapshot("several");
    expect(await refusal(fetched("shop/tiny:q8/c.gguf"))).toMatchSnapshot("misspelt");
    const model = await fetched("shop/tiny:q8/b.gguf");
    expect(model.file).toBe("q8/b.gguf");
    await expectFile(model, "q8/b.gguf", hub.files["q8/b.gguf"]);
    expect(await readlink(join(model.folder, "q8/b.gguf"))).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\//);
    expect(fileRequests()).toEqual(["b.gguf"]);
    expect((await fetched("shop/tiny:q8/b.gguf", { offline: true })).file).toBe("q8/b.gguf");
  });

  test("asks each file where a mirror's listing has no sizes and hashes", async () => {
    hub.bare = true;
    const model = await fetched();
    expect(hub.requests.filter(({ method }) => method === "HEAD")).toHaveLength(6);
    expect(await readlink(join(model.folder, "model.safetensors"))).toBe(`../../blobs/${sha256(weights())}`);
  });

  test("is found by Python's huggingface_hub, and what that fetched is found here", async (ctx) => {
    const python = process.env["ATTUNE_PYTHON"];
    if (python === undefined) return ctx.skip("ATTUNE_PYTHON names no Python with huggingface_hub");
    const call = async (folder: string, parameters: string): Promise<string> => {
      const code = `from huggingface_hub import snapshot_download; print(snapshot_download('shop/tiny', ${parameters}))`;
      const environment = {
        ...process.env,
        HF_HUB_CACHE: folder,
        HF_ENDPOINT: hub.endpoint,
        HF_HUB_DISABLE_XET: "1",
      };
      const { stdout } = await promisify(execFile)(python, ["-c", code], {
        env: environment,
        timeout: 60_000,
      });
      return stdout.trim().split("\n").at(-1)!;
    };
    const ours = await fetched();
    expect(await call(cacheFolder, "local_files_only=True")).toBe(ours.folder);
    const theirCache = join(cacheFolder, "theirs");
    const theirs = await call(theirCache, "token=False");
    hub.requests.length = 0;
    expect((await fetched("shop/tiny", { cacheFolder: theirCache, offline: true })).folder).toBe(theirs);
    expect((await fetched("shop/tiny", { cacheFolder: theirCache })).folder).toBe(theirs);
    expect(fileRequests()).toEqual([]);
  }, 150_000);
});

describe("a broken transfer", () => {
  test("goes on where it stopped, as often as it makes progress", async () => {
    const bytes = largeWeights();
    let cuts = 0;
    hub.fault = (_, response, seen) => {
      if (!seen.path.endsWith("model.safetensors") || cuts >= 7) return false;
      cuts += 1;
      const start = Number(/\d+/.exec(seen.range ?? "0")![0]);
      response.writeHead(start === 0 ? 200 : 206, {
        "content-length": bytes.length - start,
        ...(start === 0 ? {} : { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
      });
      response.write(bytes.subarray(start, start + 30_000), () => setTimeout(() => response.destroy(), 5));
      return true;
    };
    const model = await fetched("shop/tiny", {}, { attempts: 3 });
    await expectFile(model, "model.safetensors", bytes);
    const ranges = hub.requests
      .filter(({ path }) => path.endsWith("model.safetensors"))
      .map(({ range }) => range);
    expect(ranges).toEqual([undefined, ...[1, 2, 3, 4, 5, 6, 7].map((i) => `bytes=${30_000 * i}-`)]);
    expect(events.filter(({ type }) => type === "retry")).toHaveLength(7);
  });

  test("that stays broken ends in words, and the next call goes on", async () => {
    const bytes = largeWeights();
    hub.fault = (_, response, seen) => {
      if (!seen.path.endsWith("model.safetensors")) return false;
      if (seen.range !== undefined) {
        response.destroy();
        return true;
      }
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 5));
      return true;
    };
    const message = await refusal(fetched("shop/tiny", {}, { attempts: 3 }));
    expect(message).toMatch(
      /^shop\/tiny: model\.safetensors failed 3 times: .* Check the connection and run the same command again: it goes on where it stopped\.$/,
    );
    expect(await blobs()).toContain(`${sha256(bytes)}.incomplete`);
    expect(await blobs()).not.toContain(sha256(bytes));
    hub.fault = undefined;
    hub.requests.length = 0;
    const model = await fetched();
    expect(hub.requests.find(({ path }) => path.endsWith("model.safetensors"))!.range).toBe("bytes=100000-");
    await expectFile(model, "model.safetensors", bytes);
    expect(events.find(({ type }) => type === "plan")).toBeDefined();
  });

  test("is begun anew by a server that ignores ranges", async () => {
    const bytes = largeWeights();
    await mkdir(join(cacheFolder, "models--shop--tiny", "blobs"), { recursive: true });
    await writeFile(
      join(cacheFolder, "models--shop--tiny", "blobs", `${sha256(bytes)}.incomplete`),
      bytes.subarray(0, 50_000),
    );
    hub.ignoreRange = true;
    const model = await fetched();
    await expectFile(model, "model.safetensors", bytes);
    const last = events.at(-1)!;
    expect(last.type === "progress" && last.bytesDone === last.bytesTotal).toBe(true);
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ["longer than the file", (bytes) => Buffer.concat([bytes, bytes])],
    ["of the right length but wrong", (bytes) => Buffer.alloc(bytes.length)],
    ["wrong in its beginning", () => Buffer.alloc(1000)],
  ])("that left something %s is mended", async (_, left) => {
    const bytes = largeWeights();
    await mkdir(join(cacheFolder, "models--shop--tiny", "blobs"), { recursive: true });
    await writeFile(
      join(cacheFolder, "models--shop--tiny", "blobs", `${sha256(bytes)}.incomplete`),
      left(bytes),
    );
    const model = await fetched();
    await expectFile(model, "model.safetensors", bytes);
  });

  test("that left a complete partial file needs no request", async () => {
    const bytes = largeWeights();
    await mkdir(join(cacheFolder, "models--shop--tiny", "blobs"), { recursive: true });
    await writeFile(join(cacheFolder, "models--shop--tiny", "blobs", `${sha256(bytes)}.incomplete`), bytes);
    await fetched();
    expect(fileRequests()).not.toContain("model.safetensors");
  });

  test("a silent server is given up and asked again", async () => {
    let stalls = 0;
    hub.fault = (_, response, seen) => {
      if (!seen.path.endsWith("model.safetensors") || stalls > 0) return false;
      stalls += 1;
      response.writeHead(200, { "content-length": weights().length });
      response.write(weights().subarray(0, 500));
      return true;
    };
    const model = await fetched("shop/tiny", {}, { silence: 400 });
    await expectFile(model, "model.safetensors", weights());
    expect(events.find(({ type }) => type === "retry")).toMatchObject({
      reason: expect.stringContaining("no answer for"),
    });
  });

  test("a cancelled fetch keeps what it has and says so", async () => {
    const bytes = largeWeights();
    const controller = new AbortController();
    hub.fault = (_, response, seen) => {
      if (!seen.path.endsWith("model.safetensors")) return false;
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 60_000), () => setTimeout(() => controller.abort(), 50));
      return true;
    };
    await expect(fetched("shop/tiny", {}, { signal: controller.signal })).rejects.toThrow(CancelledError);
    expect(await blobs()).toContain(`${sha256(bytes)}.incomplete`);
    expect(await readdir(join(cacheFolder, ".locks", "models--shop--tiny"))).toEqual([]);
    hub.fault = undefined;
    await fetched();
    expect(hub.requests.at(-1)!.range).toBe("bytes=60000-");
  });
});

describe("wrong bytes", () => {
  const serve = (
    body: (bytes: Buffer) => Buffer,
    times: number,
    headers: Record<string, string> = {},
  ): void => {
    let left = times;
    hub.fault = (_, response, seen) => {
      if (!seen.path.endsWith("model.safetensors") || left <= 0) return false;
      left -= 1;
      const bytes = body(weights());
      response.writeHead(200, { "content-length": bytes.length, ...headers });
      response.end(bytes);
      return true;
    };
  };
  const flipped = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes);
    copy[copy.length >> 1]! ^= 1;
    return copy;
  };

  test("once are noticed and fetched again", async () => {
    serve(flipped, 1);
    const model = await fetched();
    await expectFile(model, "model.safetensors", weights());
    expect(events.find(({ type }) => type === "warning")).toBeDefined();
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ["altered", flipped],
    ["longer", (bytes) => Buffer.concat([bytes, Buffer.alloc(10)])],
    ["shorter", (bytes) => bytes.subarray(0, -10)],
  ])("always (%s) are refused, and nothing stands under the blob's name", async (name, body) => {
    serve(body, Number.POSITIVE_INFINITY);
    expect(await refusal(fetched())).toMatchSnapshot(name);
    expect(await blobs()).not.toContain(sha256(weights()));
    expect(
      existsSync(join(cacheFolder, "models--shop--tiny", "snapshots", hub.commit, "model.safetensors")),
    ).toBe(false);
  });

  test("of a small file are noticed by Git's hash", async () => {
    hub.fault = (_, response, seen) => {
      if (!seen.path.endsWith("/config.json")) return false;
      response.end("x".repeat(hub.files["config.json"]!.length));
      return true;
    };
    expect(await refusal(fetched())).toMatchSnapshot();
  });

  test("in a blob of another size are replaced", async () => {
    await fetched();
    const blob = join(cacheFolder, "models--shop--tiny", "blobs", sha256(weights()));
    await writeFile(blob, "cut");
    const model = await fetched();
    await expectFile(model, "model.safetensors", weights());
  });
});

describe("a refusal", () => {
  const answer = (
    status: number,
    headers: Record<string, string> = {},
    times = Number.POSITIVE_INFINITY,
  ): void => {
    let left = times;
    hub.fault = (_, response) => {
      if (left <= 0) return false;
      left -= 1;
      response.writeHead(status, headers).end("{}");
      return true;
    };
  };
  test.each<[string, number, Record<string, string>, boolean]>([
    ["401 without a token", 401, { "x-error-code": "RepoNotFound" }, false],
    ["401 with a token", 401, {}, true],
    ["403 without a token", 403, {}, false],
    ["gated", 401, { "x-error-code": "GatedRepo" }, true],
    ["404", 404, { "x-error-code": "RepoNotFound" }, true],
    ["unknown revision", 404, { "x-error-code": "RevisionNotFound" }, true],
    ["400", 400, {}, true],
    ["429 without end", 429, { "retry-after": "0" }, true],
    ["503 without end", 503, {}, true],
    ["a redirect without end", 302, { location: "/again" }, true],
    ["a redirect to nowhere", 302, { location: "ftp://files" }, true],
  ])("%s has one clear message", async (name, status, headers, withToken) => {
    answer(status, headers);
    const { token: _, ...anonymous } = settings();
    const promise = fetchModel(parseHubReference("shop/tiny"), {
      settings: withToken ? settings() : anonymous,
      firstDelay: 1,
      attempts: 3,
    });
    expect(await refusal(promise)).toMatchSnapshot(name);
  });

  test.each([
    [429, { "retry-after": "0" }],
    [500, {}],
    [408, {}],
  ])("%i that passes is waited out", async (status, headers) => {
    answer(status, headers as Record<string, string>, 2);
    await fetched();
    expect(events.filter(({ type }) => type === "retry")).toHaveLength(2);
  });

  test.each<[string, string]>([
    ["not JSON", "<html>"],
    ["JSON of another kind", '{"models":[]}'],
    ["a commit that is none", '{"sha":"../../etc","siblings":[]}'],
    ["a negative size", `{"sha":"${"c".repeat(40)}","siblings":[{"rfilename":"config.json","size":-1}]}`],
    [
      "a hash that is a path",
      `{"sha":"${"c".repeat(40)}","siblings":[{"rfilename":"config.json","size":1,"blobId":"../../x"}]}`,
    ],
    ["a file above the folder", `{"sha":"${"c".repeat(40)}","siblings":[{"rfilename":"../../.bashrc"}]}`],
    ["an absolute file", `{"sha":"${"c".repeat(40)}","siblings":[{"rfilename":"/etc/passwd"}]}`],
    ["a file for Windows", `{"sha":"${"c".repeat(40)}","siblings":[{"rfilename":"..\\\\..\\\\x"}]}`],
    ["an empty repository", `{"sha":"${"c".repeat(40)}","siblings":[]}`],
    ["an adapter", `{"sha":"${"c".repeat(40)}","siblings":[{"rfilename":"adapter_config.json"}]}`],
    [
      "pickles only",
      `{"sha":"${"c".repeat(40)}","siblings":[{"rfilename":"config.json"},{"rfilename":"pytorch_model.bin"}]}`,
    ],
  ])("a listing with %s is refused", async (name, body) => {
    hub.fault = (_, response) => {
      response.end(body);
      return true;
    };
    expect(await refusal(fetched("shop/tiny", {}, { attempts: 2 }))).toMatchSnapshot(name);
    expect(existsSync(join(cacheFolder, "models--shop--tiny", "snapshots"))).toBe(false);
  });

  test("an index that names a file elsewhere, or one that is not there, is refused", async () => {
    hub.files = await tinyCheckpoint({ sharded: true });
    hub.files["model.safetensors.index.json"] = Buffer.from('{"weight_map":{"w":"../../../x.safetensors"}}');
    expect(await refusal(fetched())).toMatch(/weight_map places w in/);
    hub.commit = "d".repeat(40);
    hub.files["model.safetensors.index.json"] = Buffer.from('{"weight_map":{"w":"model-3.safetensors"}}');
    expect(await refusal(fetched())).toMatchSnapshot();
  });

  test("a full disk is noticed before anything is fetched", async () => {
    expect(await refusal(fetched("shop/tiny", {}, { freeBytes: async () => 1000 }))).toMatch(
      /^shop\/tiny needs \d.* KiB, but the disk of CACHE has 1000 B free\. Free some space, or set HF_HOME/,
    );
    expect(fileRequests()).toEqual([]);
  });
});

describe("the token", () => {
  test("goes to the hub, and not to the storage that it redirects to", async () => {
    const storage = await testHub();
    try {
      storage.files = hub.files;
      hub.storage = storage.endpoint;
      const model = await fetched();
      await expectFile(model, "model.safetensors", weights());
      expect(hub.requests.every(({ authorization }) => authorization === `Bearer ${token}`)).toBe(true);
      expect(storage.requests.map(({ path }) => path)).toEqual([
        "/storage/model.safetensors?signature=secret",
      ]);
      expect(storage.requests[0]!.authorization).toBeUndefined();
      // A failing storage is named by its host only: its address carries a signature.
      await rm(cacheFolder, { recursive: true, force: true });
      storage.fault = (_, response) => {
        response.writeHead(500).end();
        return true;
      };
      expect(await refusal(fetched("shop/tiny", {}, { attempts: 2 }))).toMatchSnapshot();
    } finally {
      await storage.close();
    }
  });
});

describe("without a connection", () => {
  test("HF_HUB_OFFLINE uses the cache and asks nobody", async () => {
    const online = await fetched();
    hub.requests.length = 0;
    expect(await fetched("shop/tiny", { offline: true })).toEqual(online);
    expect(hub.requests).toEqual([]);
    expect(await refusal(fetched("shop/tiny@v1.0", { offline: true }))).toMatchSnapshot("unknown revision");
    await rm(join(online.folder, "model.safetensors"));
    expect(await refusal(fetched("shop/tiny", { offline: true }))).toMatchSnapshot("incomplete");
  });

  test("an unreachable or failing hub leaves the cache, with a warning", async () => {
    const online = await fetched();
    const closed = await testHub();
    await closed.close();
    const gone = { endpoint: closed.endpoint };
    expect(await fetched("shop/tiny", gone)).toEqual(online);
    expect(events.at(-1)).toMatchObject({ type: "warning" });
    hub.fault = (_, response) => {
      response.writeHead(502).end();
      return true;
    };
    expect(await fetched("shop/tiny", {}, { attempts: 2 })).toEqual(online);
    expect(await refusal(fetched("shop/other", gone))).toMatchSnapshot("unreachable");
    vi.stubEnv("HTTPS_PROXY", "http://proxy:3128");
    expect(await refusal(fetched("shop/other", gone))).toMatchSnapshot("unreachable behind a proxy");
  });
});

describe("two at once", () => {
  test("fetch each file once", async () => {
    largeWeights();
    const [a, b] = await Promise.all([fetched(), fetched()]);
    expect(a).toEqual(b);
    expect(fileRequests().sort()).toEqual([...new Set(fileRequests())].sort());
  });

  test("a lock whose holder is gone is taken over", async () => {
    const lock = join(cacheFolder, ".locks", "models--shop--tiny", "attune.lock");
    await mkdir(join(lock, ".."), { recursive: true });
    await writeFile(lock, `999999999 ${hostname()} dead`);
    await fetched();
    await writeFile(lock, "1 another-machine dead");
    const old = new Date(Date.now() - 120_000);
    await utimes(lock, old, old);
    await fetched();
    expect(existsSync(lock)).toBe(false);
    expect((await lstat(join(lock, ".."))).isDirectory()).toBe(true);
  });
});

describe("ModelScope", () => {
  test("is asked in its own way", async () => {
    const files = hub.files;
    hub.fault = (_, response, seen) => {
      const url = new URL(seen.path, hub.endpoint);
      if (url.pathname === "/api/v1/models/shop/tiny/repo/files") {
        expect(Object.fromEntries(url.searchParams)).toEqual({ Revision: "master", Recursive: "true" });
        const listed = Object.entries(files).map(([Path, bytes]) => ({
          Path,
          Size: bytes.length,
          Sha256: sha256(bytes),
          Type: "blob",
        }));
        response.end(
          JSON.stringify({
            Code: 200,
            Data: { Files: [{ Path: "onnx", Type: "tree", Size: 0 }, ...listed] },
          }),
        );
        return true;
      }
      if (url.pathname !== "/api/v1/models/shop/tiny/repo") return false;
      response.end(files[url.searchParams.get("FilePath")!]);
      return true;
    };
    const model = await fetched("shop/tiny", { kind: "modelscope" });
    await expectFile(model, "model.safetensors", weights());
    expect(
      hub.requests.every(
        ({ cookie, authorization }) => cookie === `m_session_id=${token}` && authorization === undefined,
      ),
    ).toBe(true);
    expect(await fetched("shop/tiny", { kind: "modelscope", offline: true })).toEqual(model);
  });
});
