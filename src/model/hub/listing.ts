/** What a repository holds at a revision: files with sizes and hashes, from the Hugging Face API or ModelScope's. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { UserError } from "../../util/index.ts";
import { TransientError, hubJson, hubRequest } from "./http.ts";
import { isSafePath } from "./reference.ts";
import type { HubSettings } from "./settings.ts";

export interface RemoteFile {
  /** Path in the repository, with `/`. */
  readonly path: string;
  readonly url: string;
  /** Absent where the hub does not say; `describeFile` then asks. */
  readonly bytes?: number;
  /** SHA-256 (64 hex digits), or Git's blob SHA-1 (40). */
  readonly hash?: string;
}

export type SizedFile = RemoteFile & { readonly bytes: number };

export interface Listing {
  /** 40 hex digits that name this state of the repository. */
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

const mostFiles = 100_000;
const hex40 = /^[0-9a-f]{40}$/;

const huggingFaceSchema = z.looseObject({
  sha: z.string().regex(hex40),
  siblings: z
    .array(
      z.looseObject({
        rfilename: z.string(),
        size: z.int().min(0).nullish(),
        blobId: z.string().regex(hex40).nullish(),
        lfs: z
          .looseObject({
            sha256: z
              .string()
              .regex(/^[0-9a-f]{64}$/)
              .optional(),
            size: z.int().min(0).optional(),
          })
          .nullish(),
      }),
    )
    .max(mostFiles),
});

const modelScopeSchema = z.looseObject({
  Code: z.int(),
  Data: z
    .looseObject({
      Files: z
        .array(
          z.looseObject({
            Path: z.string(),
            Type: z.string().nullish(),
            Size: z.int().min(0).nullish(),
            Sha256: z.string().nullish(),
          }),
        )
        .max(mostFiles)
        .nullish(),
    })
    .nullish(),
});

export function defaultRevision(settings: HubSettings): string {
  return settings.kind === "modelscope" ? "master" : "main";
}

export async function listFiles(
  settings: HubSettings,
  id: string,
  revision: string,
  signal?: AbortSignal,
): Promise<Listing> {
  const listing = await (settings.kind === "modelscope" ? listModelScope : listHuggingFace)(
    settings,
    id,
    revision,
    signal,
  );
  const unsafe = listing.files.find((file) => !isSafePath(file.path));
  if (unsafe !== undefined) {
    throw new UserError(
      `the hub lists ${JSON.stringify(unsafe.path.slice(0, 120))} in ${id}: a name that would leave the model's folder`,
      { next: "Do not use this repository or mirror." },
    );
  }
  return listing;
}

async function listHuggingFace(
  settings: HubSettings,
  id: string,
  revision: string,
  signal?: AbortSignal,
): Promise<Listing> {
  const { endpoint } = settings;
  const url = `${endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await ask(url, settings, `${id}@${revision}`, signal);
  const { sha, siblings } = understand(huggingFaceSchema, answer, id);
  return {
    commit: sha,
    files: siblings.map(({ rfilename, size, blobId, lfs }) => {
      const hash = lfs?.sha256 ?? blobId ?? undefined;
      const bytes = lfs?.size ?? size ?? undefined;
      return {
        path: rfilename,
        url: `${endpoint}/${id}/resolve/${sha}/${encodePath(rfilename)}`,
        ...(bytes === undefined ? {} : { bytes }),
        ...(hash === undefined ? {} : { hash }),
      };
    }),
  };
}

async function listModelScope(
  settings: HubSettings,
  id: string,
  revision: string,
  signal?: AbortSignal,
): Promise<Listing> {
  const base = `${settings.endpoint}/api/v1/models/${id}/repo`;
  const inRevision = encodeURIComponent(revision);
  const answer = await ask(
    `${base}/files?Revision=${inRevision}&Recursive=true`,
    settings,
    `${id}@${revision}`,
    signal,
  );
  const { Code, Data } = understand(modelScopeSchema, answer, id);
  if (Code !== 200)
    throw new UserError(`ModelScope does not list ${id}@${revision} (${Code})`, {
      next: "Check the spelling.",
    });
  const files = (Data?.Files ?? []).filter((file) => file.Type !== "tree");
  // ModelScope names no commit: the content itself serves.
  const commit = createHash("sha1");
  for (const { Path, Sha256, Size } of [...files].sort((a, b) => (a.Path < b.Path ? -1 : 1))) {
    commit.update(`${Path}\u0000${Sha256 ?? ""}\u0000${Size ?? ""}\n`);
  }
  return {
    commit: commit.digest("hex"),
    files: files.map(({ Path, Size, Sha256 }) => ({
      path: Path,
      url: `${base}?Revision=${inRevision}&FilePath=${encodeURIComponent(Path)}`,
      ...(typeof Size === "number" ? { bytes: Size } : {}),
      ...(/^[0-9a-f]{64}$/.test(Sha256 ?? "") ? { hash: Sha256! } : {}),
    })),
  };
}

function ask(url: string, settings: HubSettings, what: string, signal?: AbortSignal): Promise<unknown> {
  return hubJson(url, settings, { what, ...(signal === undefined ? {} : { signal }) });
}

function understand<T>(schema: z.ZodType<T>, answer: unknown, id: string): T {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new UserError(
    `the hub's answer about ${id} is not understood: ${issue.path.join(".")}: ${issue.message}`,
    {
      next: "Check HF_ENDPOINT: it must be a hub of Hugging Face's kind.",
    },
  );
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** Size and hash of a file whose listing left them out (some mirrors do), from the headers of the file itself. */
export async function describeFile(
  file: RemoteFile,
  settings: HubSettings,
  what: string,
  signal?: AbortSignal,
): Promise<SizedFile> {
  if (file.bytes !== undefined && file.hash !== undefined) return { ...file, bytes: file.bytes };
  const response = await hubRequest(file.url, settings, {
    method: "HEAD",
    what,
    ...(signal === undefined ? {} : { signal }),
  });
  const { headers, ownHeaders } = response;
  response.cancel();
  const etag = (ownHeaders.get("x-linked-etag") ?? ownHeaders.get("etag") ?? "")
    .replace(/^W\//, "")
    .replaceAll('"', "");
  const hash = file.hash ?? (/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(etag) ? etag : undefined);
  const length = ownHeaders.get("x-linked-size") ?? headers.get("content-length");
  const bytes = file.bytes ?? (length !== null && /^\d{1,15}$/.test(length) ? Number(length) : undefined);
  if (bytes === undefined) throw new TransientError(`the hub does not say how large ${file.path} is`);
  return { path: file.path, url: file.url, bytes, ...(hash === undefined ? {} : { hash }) };
}
