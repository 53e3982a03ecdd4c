/** One file from a hub into the cache: resumed where it stopped, its size and hash checked, never half under its name. */
import { type Hash, createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { UserError, explainWriteError, syncFolder, makeFolder } from "../../util/index.ts";
import { type HubResponse, TransientError, hubRequest } from "./http.ts";
import type { SizedFile } from "./listing.ts";
import type { HubEvent, ProgressMeter } from "./progress.ts";
import { withRetries } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

export interface DownloadOptions {
  readonly settings: HubSettings;
  /** For messages: `owner/name`. */
  readonly what: string;
  readonly meter: ProgressMeter;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: HubEvent) => void;
  readonly attempts: number;
  /** Milliseconds. */
  readonly firstDelay: number;
  /** Milliseconds. */
  readonly silence?: number;
}

/** The name of a partial download. Where it stands, the next call goes on. */
export function incompletePath(blob: string): string {
  return `${blob}.incomplete`;
}

/** Bytes that a former call left. */
export async function bytesThere(path: string): Promise<number> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : 0),
    () => 0,
  );
}

interface Partial {
  readonly handle: FileHandle;
  /** Over the bytes so far. */
  hash: Hash | undefined;
  bytes: number;
  /** The most bytes there ever were: only more than that is progress, or a server that starts anew each time never fails. */
  furthest: number;
}

/** Fetches `file` into `blob`. `file.bytes` must be known. */
export async function downloadBlob(file: SizedFile, blob: string, options: DownloadOptions): Promise<void> {
  const path = incompletePath(blob);
  const name = `${options.what}: ${file.path}`;
  try {
    await makeFolder(dirname(blob));
    const handle = await open(path, "a+").then(async (created) => {
      // "a+" creates without truncating, but only appends; positions need "r+".
      await created.close();
      return open(path, "r+");
    });
    try {
      const partial: Partial = { handle, hash: startHash(file), bytes: 0, furthest: 0 };
      await resume(partial, file, path);
      await fetchChecked(partial, file, name, options);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(path, blob);
    await syncFolder(dirname(blob));
  } catch (error) {
    throw explainWriteError(error, path);
  }
  options.meter.finish(file.path);
}

/** Git hashes a header with the size before the content; large files are named by plain SHA-256. */
function startHash(file: SizedFile): Hash | undefined {
  if (file.hash === undefined) return undefined;
  if (file.hash.length === 64) return createHash("sha256");
  return createHash("sha1").update(`blob ${file.bytes}\u0000`);
}

/** Takes up what a former call left, hashing it again; more than the file can hold is worthless. */
async function resume(partial: Partial, file: SizedFile, path: string): Promise<void> {
  const there = await bytesThere(path);
  if (there === 0) return;
  if (there > file.bytes) {
    await partial.handle.truncate(0);
    return;
  }
  for await (const chunk of createReadStream(path)) partial.hash?.update(chunk as Buffer);
  partial.bytes = there;
  partial.furthest = there;
}

async function restart(partial: Partial, file: SizedFile, options: DownloadOptions): Promise<void> {
  options.meter.add(file.path, -partial.bytes);
  await partial.handle.truncate(0);
  partial.hash = startHash(file);
  partial.bytes = 0;
}

async function fetchChecked(
  partial: Partial,
  file: SizedFile,
  name: string,
  options: DownloadOptions,
): Promise<void> {
  const retry = {
    attempts: options.attempts,
    firstDelay: options.firstDelay,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    next: "Check the connection and run the same command again: it goes on where it stopped.",
    onRetry: (reason: string, delay: number) =>
      options.onEvent?.({ type: "retry", file: file.path, reason, delaySeconds: delay / 1000 }),
  };
  for (let round = 1; ; round++) {
    await withRetries(name, retry, (progressed) => fetchRest(partial, file, options, progressed));
    const digest = partial.hash?.digest("hex");
    if (digest === undefined || digest === file.hash) return;
    await restart(partial, file, options);
    if (round === 2) {
      throw new UserError(`${name} arrived twice with another content than the hub announces`, {
        next: "Use another mirror, or try again later.",
      });
    }
    options.onEvent?.({ type: "warning", message: `${name} arrived damaged; it is fetched again` });
  }
}

/** One request for what is missing. */
async function fetchRest(
  partial: Partial,
  file: SizedFile,
  options: DownloadOptions,
  progressed: () => void,
): Promise<void> {
  if (partial.bytes === file.bytes) return;
  const response = await hubRequest(file.url, options.settings, {
    what: options.what,
    ...(partial.bytes > 0 ? { range: `bytes=${partial.bytes}-` } : {}),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.silence === undefined ? {} : { silence: options.silence }),
  });
  try {
    if (!continues(response, partial.bytes, file.bytes)) {
      const hadSome = partial.bytes > 0;
      await restart(partial, file, options);
      // 416, or a part we did not ask for: only a new request helps.
      if (response.status !== 200) {
        throw new TransientError(
          hadSome
            ? "the server does not go on where it stopped"
            : `the server answers with a part (${response.status})`,
        );
      }
    }
    for await (const chunk of response.body) {
      if (partial.bytes + chunk.length > file.bytes) {
        await restart(partial, file, options);
        throw new TransientError(`the server sends more than the ${file.bytes} bytes it announced`);
      }
      await writeAll(partial.handle, chunk, partial.bytes);
      partial.hash?.update(chunk);
      partial.bytes += chunk.length;
      options.meter.add(file.path, chunk.length);
      if (partial.bytes > partial.furthest) {
        partial.furthest = partial.bytes;
        progressed();
      }
    }
  } finally {
    response.cancel();
  }
  if (partial.bytes < file.bytes) {
    throw new TransientError(`the connection ended after ${partial.bytes} of ${file.bytes} bytes`);
  }
}

/** Whether the body is what follows `have` bytes: a 206 that begins there, or a whole 200 when there is nothing yet. */
function continues(response: HubResponse, have: number, total: number): boolean {
  if (response.status === 200) return have === 0;
  if (response.status !== 206) return false;
  const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  return match !== null && Number(match[1]) === have && (match[2] === "*" || Number(match[2]) === total);
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}
