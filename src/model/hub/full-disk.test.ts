/** A disk that fills up while a file arrives: one clear message, the part kept, and the next call goes on. */
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { UserError } from "../../util/index.ts";
import { fetchModel } from "./fetch-model.ts";
import { parseHubReference } from "./reference.ts";
import { testHub } from "./server.testing.ts";
import { tinyCheckpoint } from "./tiny-model.testing.ts";

/** Bytes that partial downloads may still take. */
const room = vi.hoisted(() => ({ bytes: Number.POSITIVE_INFINITY }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return {
    ...real,
    open: async (...parameters: Parameters<typeof real.open>) => {
      const handle = await real.open(...parameters);
      if (!String(parameters[0]).endsWith(".incomplete")) return handle;
      const write = handle.write.bind(handle) as (
        bytes: Uint8Array,
        ...rest: number[]
      ) => Promise<{ bytesWritten: number }>;
      const limited = async (bytes: Uint8Array, offset: number, length: number, position: number) => {
        const some = Math.min(length, room.bytes);
        if (some === 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
        room.bytes -= some;
        return write(bytes, offset, some, position);
      };
      return Object.assign(handle, { write: limited });
    },
  };
});

const cacheFolder = await mkdtemp(join(tmpdir(), "attune-full-"));
afterAll(() => rm(cacheFolder, { recursive: true, force: true }));

test("the part that fits is kept and used", async () => {
  const hub = await testHub();
  try {
    hub.files = await tinyCheckpoint();
    const weights = hub.files["model.safetensors"]!;
    const settings = { kind: "huggingface", endpoint: hub.endpoint, offline: false, cacheFolder } as const;
    const others = Object.values(hub.files).reduce((sum, bytes) => sum + bytes.length, 0) - weights.length;
    room.bytes = others + 7000;
    const error = await fetchModel(parseHubReference("shop/tiny"), { settings }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(UserError);
    expect(
      (error as Error).message.replaceAll(/[0-9a-f]{64}/g, "HASH").replaceAll(cacheFolder, "CACHE"),
    ).toMatchInlineSnapshot(
      `"the disk is full: cannot write CACHE/models--shop--tiny/blobs/HASH.incomplete. Free some space or choose another folder, then run the same command again."`,
    );
    expect(await readdir(join(cacheFolder, ".locks", "models--shop--tiny"))).toEqual([]);
    room.bytes = Number.POSITIVE_INFINITY;
    hub.requests.length = 0;
    const model = await fetchModel(parseHubReference("shop/tiny"), { settings });
    expect(hub.requests.at(-1)!.range).toBe("bytes=7000-");
    expect((await readFile(join(model.folder, "model.safetensors"))).equals(weights)).toBe(true);
  } finally {
    await hub.close();
  }
});
