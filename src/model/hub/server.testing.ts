/** A hub on 127.0.0.1 for tests: Hugging Face's API over files in memory, with faults on demand. */
import { createHash } from "node:crypto";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface TestRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly cookie: string | undefined;
  readonly range: string | undefined;
}

/** Returns true when it answered in the hub's place. */
export type Fault = (request: IncomingMessage, response: ServerResponse, seen: TestRequest) => boolean;

export interface TestHub {
  readonly endpoint: string;
  readonly requests: TestRequest[];
  /** The repository's files. */
  files: Record<string, Buffer>;
  /** Files above this many bytes are "large": named by SHA-256, served by a redirect where `storage` is set. */
  largeFrom: number;
  commit: string;
  /** Origin of another server that holds the large files. */
  storage: string | undefined;
  /** The listing omits sizes and hashes, as some mirrors do. */
  bare: boolean;
  ignoreRange: boolean;
  fault: Fault | undefined;
  close(): Promise<void>;
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\u0000`).update(bytes).digest("hex");

/** `id`: the one repository it knows. */
export async function testHub(id = "shop/tiny"): Promise<TestHub> {
  const server: Server = createServer((request, response) => {
    const seen: TestRequest = {
      method: request.method ?? "",
      path: request.url ?? "",
      authorization: request.headers.authorization,
      cookie: request.headers.cookie,
      range: request.headers.range,
    };
    hub.requests.push(seen);
    if (hub.fault?.(request, response, seen) !== true) answer(seen, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const hub: TestHub = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    files: {},
    largeFrom: 1000,
    commit: "c".repeat(40),
    storage: undefined,
    bare: false,
    ignoreRange: false,
    fault: undefined,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  function answer(seen: TestRequest, response: ServerResponse): void {
    const url = new URL(seen.path, hub.endpoint);
    const path = decodeURIComponent(url.pathname);
    if (path.startsWith(`/api/models/${id}/revision/`)) {
      const revision = path.slice(`/api/models/${id}/revision/`.length);
      if (revision !== "main" && revision !== "v1.0" && revision !== hub.commit) {
        response.writeHead(404, { "x-error-code": "RevisionNotFound" }).end();
        return;
      }
      response.setHeader("content-type", "application/json");
      const details = !hub.bare && url.searchParams.get("blobs") === "true";
      const siblings = Object.entries(hub.files).map((entry) =>
        details ? listed(entry) : { rfilename: entry[0] },
      );
      response.end(JSON.stringify({ id, sha: hub.commit, siblings }));
      return;
    }
    if (path === `/api/models/${id}/tree/${hub.commit}`) {
      const tree = Object.entries(hub.files).map(([name, bytes]) => ({
        type: "file",
        path: name,
        oid: gitHash(bytes),
        size: bytes.length,
        ...(bytes.length >= hub.largeFrom
          ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }
          : {}),
      }));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(tree));
      return;
    }
    const resolvePrefix = `/${id}/resolve/${hub.commit}/`;
    const file = path.startsWith(resolvePrefix) ? hub.files[path.slice(resolvePrefix.length)] : undefined;
    const stored = path.startsWith("/storage/") ? hub.files[path.slice("/storage/".length)] : undefined;
    const bytes = file ?? stored;
    if (bytes === undefined) {
      response
        .writeHead(path.startsWith(resolvePrefix) ? 404 : 401, { "x-error-code": "RepoNotFound" })
        .end();
      return;
    }
    const isLarge = bytes.length >= hub.largeFrom;
    response.setHeader("x-repo-commit", hub.commit);
    if (file !== undefined && isLarge) {
      response.setHeader("x-linked-etag", `"${sha256(bytes)}"`);
      response.setHeader("x-linked-size", bytes.length);
    }
    response.setHeader("etag", isLarge ? '"storage-etag"' : `"${gitHash(bytes)}"`);
    if (file !== undefined && isLarge && hub.storage !== undefined) {
      const name = path.slice(resolvePrefix.length);
      response
        .writeHead(302, { location: `${hub.storage}/storage/${encodeURIComponent(name)}?signature=secret` })
        .end();
      return;
    }
    send(seen, response, bytes);
  }

  function listed([rfilename, bytes]: [string, Buffer]): object {
    return {
      rfilename,
      size: bytes.length,
      blobId: gitHash(bytes),
      ...(bytes.length >= hub.largeFrom
        ? { lfs: { sha256: sha256(bytes), size: bytes.length, pointerSize: 130 } }
        : {}),
    };
  }

  function send(seen: TestRequest, response: ServerResponse, bytes: Buffer): void {
    const start = hub.ignoreRange ? undefined : /^bytes=(\d+)-$/.exec(seen.range ?? "")?.[1];
    if (start !== undefined && Number(start) >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const body = bytes.subarray(Number(start ?? 0));
    response.writeHead(start === undefined ? 200 : 206, {
      "content-length": body.length,
      ...(start === undefined
        ? {}
        : { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    });
    response.end(seen.method === "HEAD" ? undefined : body);
  }
  return hub;
}
