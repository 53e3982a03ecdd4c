/** A repository of a hub → a complete snapshot in the cache, fetching only what the model needs and is not there yet. */
import { createHash } from "node:crypto";
import { readFile, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { UserError, formatBytes, parseJson, makeFolder } from "../../util/index.ts";
import { readIndex } from "../weights/index.ts";
import { type RepositoryCache, missingFromSnapshot, repositoryCache } from "./cache.ts";
import { bytesThere, downloadBlob, incompletePath } from "./download.ts";
import { TransientError } from "./http.ts";
import {
  type Listing,
  type RemoteFile,
  type SizedFile,
  defaultRevision,
  describeFile,
  listFiles,
} from "./listing.ts";
import { acquireLock } from "./lock.ts";
import { type HubEvent, progressMeter } from "./progress.ts";
import type { HubReference } from "./reference.ts";
import { type RetryOptions, withRetries } from "./retry.ts";
import { indexFile, selectFiles } from "./select-files.ts";
import { type HubSettings, hubSettings } from "./settings.ts";

export interface FetchOptions {
  readonly settings?: HubSettings;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: HubEvent) => void;
  /** Attempts in a row without a byte; 5. */
  readonly attempts?: number;
  /** Wait before the second attempt, milliseconds; 1000, then doubled. */
  readonly firstDelay?: number;
  /** Silence that ends a request, milliseconds; 30,000. */
  readonly silence?: number;
  /** Free bytes of the disk that holds `folder`; asked of the system by default. */
  readonly freeBytes?: (folder: string) => Promise<number>;
}

export interface FetchedModel {
  /** The snapshot folder. */
  readonly folder: string;
  /** The GGUF in it, when the model is one. */
  readonly file?: string;
  readonly id: string;
  readonly revision: string;
  readonly commit: string;
}

/**
 * Makes sure that the cache holds the model and returns where. Without a connection, or with HF_HUB_OFFLINE, what the
 * cache holds is used. A commit that is complete in the cache needs no connection.
 */
export async function fetchModel(reference: HubReference, options: FetchOptions = {}): Promise<FetchedModel> {
  const settings = options.settings ?? (await hubSettings());
  const revision = reference.revision ?? defaultRevision(settings);
  const cache = repositoryCache(settings.cacheFolder, reference.id);
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  if (settings.offline || isCommit) {
    const cached = await fromCache(reference, revision, cache);
    if (typeof cached !== "string") return cached;
    if (settings.offline) {
      throw new UserError(`${reference.id}@${revision} is not in the cache: ${cached} is missing`, {
        at: cache.folder,
        next: "Unset HF_HUB_OFFLINE to fetch it, or name a model folder.",
      });
    }
  }
  let listing: Listing;
  try {
    listing = await listWithRetries(settings, reference.id, revision, options);
  } catch (error) {
    const unreachable = error instanceof UserError && error.cause instanceof TransientError;
    const cached = unreachable ? await fromCache(reference, revision, cache) : "";
    if (typeof cached === "string") throw error;
    options.onEvent?.({
      type: "warning",
      message: `the hub cannot be reached; ${reference.id} is taken from the cache as it was fetched before`,
    });
    return cached;
  }
  const file = await fetchListed(reference, listing, cache, settings, options);
  if (!isCommit) await cache.writeRef(revision, listing.commit);
  return {
    folder: cache.snapshot(listing.commit),
    ...(file === undefined ? {} : { file }),
    id: reference.id,
    revision,
    commit: listing.commit,
  };
}

/** The cached model, or the name of what is missing. */
async function fromCache(
  reference: HubReference,
  revision: string,
  cache: RepositoryCache,
): Promise<FetchedModel | string> {
  const commit = /^[0-9a-f]{40}$/.test(revision) ? revision : await cache.readRef(revision);
  if (commit === undefined) return `the revision ${revision}`;
  const folder = cache.snapshot(commit);
  const missing = await missingFromSnapshot(folder, reference.file);
  if (missing !== undefined) return missing;
  const { id, file } = reference;
  return { folder, ...(file === undefined ? {} : { file }), id, revision, commit };
}

function listWithRetries(
  settings: HubSettings,
  id: string,
  revision: string,
  options: FetchOptions,
): Promise<Listing> {
  return withRetries(
    `asking ${new URL(settings.endpoint).host} for ${id}`,
    retryOptions(options, id),
    async () => {
      try {
        return await listFiles(settings, id, revision, options.signal);
      } catch (error) {
        // No network at all: waiting for it only delays the look into the cache.
        if (error instanceof TransientError && error.unreachable) {
          throw new UserError(error.message, { next: unreachableAdvice(), cause: error });
        }
        throw error;
      }
    },
  );
}

/** Node's own fetch ignores the proxy variables unless it is told otherwise: the likeliest reason where they are set. */
function unreachableAdvice(): string {
  const { HTTPS_PROXY, https_proxy, NODE_USE_ENV_PROXY } = process.env;
  if ((HTTPS_PROXY ?? https_proxy) !== undefined && NODE_USE_ENV_PROXY === undefined) {
    return "HTTPS_PROXY is set, but Node uses it only from 22.21 on and with NODE_USE_ENV_PROXY=1; or set HF_ENDPOINT to a mirror that needs no proxy.";
  }
  return "Check the connection and HF_ENDPOINT (for example https://hf-mirror.com), or name a model folder.";
}

function retryOptions(options: FetchOptions, file: string): RetryOptions {
  return {
    attempts: options.attempts ?? 5,
    firstDelay: options.firstDelay ?? 1000,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onRetry: (reason: string, delay: number) =>
      options.onEvent?.({ type: "retry", file, reason, delaySeconds: delay / 1000 }),
  };
}

/** Returns the path of the GGUF, when the model is one. */
async function fetchListed(
  reference: HubReference,
  listing: Listing,
  cache: RepositoryCache,
  settings: HubSettings,
  options: FetchOptions,
): Promise<string | undefined> {
  const selection = selectFiles(listing.files, reference.id, reference.file);
  const release = await acquireLock(cache.lock(), {
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onWait: () => options.onEvent?.({ type: "waiting", what: reference.id }),
  });
  try {
    const fetchAll = (files: readonly RemoteFile[]): Promise<void> =>
      fetchFiles(files, reference.id, listing.commit, cache, settings, options);
    if (selection.kind === "gguf") {
      await fetchAll([selection.file]);
      return selection.file.path;
    }
    const { companions, index, weights } = selection;
    if (index === undefined) {
      await fetchAll([...companions, weights!]);
      return undefined;
    }
    // The index names the shards, so it comes first, and quietly: totals are known only after it.
    const { onEvent: _, ...quiet } = options;
    await fetchFiles([index], reference.id, listing.commit, cache, settings, quiet);
    const path = join(cache.snapshot(listing.commit), indexFile);
    const shards = new Set(readIndex(parseJson(await readFile(path, "utf8"), path), path).values());
    const byPath = new Map(listing.files.map((file) => [file.path, file]));
    const missing = [...shards].find((shard) => !byPath.has(shard));
    if (missing !== undefined) {
      throw new UserError(
        `the index of ${reference.id} names ${missing}, which the repository does not hold`,
        {
          next: "The upload is incomplete: take another revision.",
        },
      );
    }
    await fetchAll([...companions, ...[...shards].map((shard) => byPath.get(shard)!)]);
    return undefined;
  } finally {
    await release();
  }
}

async function fetchFiles(
  files: readonly RemoteFile[],
  id: string,
  commit: string,
  cache: RepositoryCache,
  settings: HubSettings,
  options: FetchOptions,
): Promise<void> {
  const todo: { readonly file: SizedFile; readonly blob: string; readonly there: number }[] = [];
  let bytesTotal = 0;
  let bytesBefore = 0;
  for (const listed of files) {
    const file = await withRetries(
      `asking for ${id}: ${listed.path}`,
      retryOptions(options, listed.path),
      () => describeFile(listed, settings, id, options.signal),
    );
    const name = blobName(file, commit);
    const blob = cache.blob(name);
    bytesTotal += file.bytes;
    if (await isComplete(blob, file.bytes)) {
      bytesBefore += file.bytes;
      await cache.link(commit, file.path, name);
      continue;
    }
    const partial = await bytesThere(incompletePath(blob));
    const there = partial <= file.bytes ? partial : 0;
    bytesBefore += there;
    todo.push({ file, blob, there });
  }
  if (todo.length === 0) return;
  const bytesMissing = bytesTotal - bytesBefore;
  options.onEvent?.({ type: "plan", files: todo.length, bytesTotal, bytesMissing });
  await checkSpace(settings.cacheFolder, bytesMissing, id, options);
  const meter = progressMeter(bytesTotal, bytesBefore, options.onEvent);
  for (const { file, blob } of todo) {
    await downloadBlob(file, blob, {
      settings,
      what: id,
      meter,
      attempts: options.attempts ?? 5,
      firstDelay: options.firstDelay ?? 1000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.onEvent === undefined ? {} : { onEvent: options.onEvent }),
      ...(options.silence === undefined ? {} : { silence: options.silence }),
    });
    await cache.link(commit, file.path, blobName(file, commit));
  }
}

/** Blobs are named by their hash; without one, by commit and path, so that nothing else can be meant. */
function blobName(file: RemoteFile, commit: string): string {
  return file.hash ?? `unhashed-${createHash("sha256").update(`${commit}/${file.path}`).digest("hex")}`;
}

/** A blob of another size is damaged: it is removed and fetched again. */
async function isComplete(blob: string, bytes: number): Promise<boolean> {
  const found = await stat(blob).catch(() => undefined);
  if (found === undefined) return false;
  if (found.size === bytes) return true;
  await rm(blob, { force: true });
  return false;
}

async function checkSpace(
  folder: string,
  bytesMissing: number,
  id: string,
  options: FetchOptions,
): Promise<void> {
  await makeFolder(folder);
  const free = await (options.freeBytes ?? freeBytes)(folder);
  if (free >= bytesMissing) return;
  throw new UserError(
    `${id} needs ${formatBytes(bytesMissing)}, but the disk of ${folder} has ${formatBytes(free)} free`,
    { next: "Free some space, or set HF_HOME to a folder on a larger disk." },
  );
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
