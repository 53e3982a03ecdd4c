/** Requests to a hub: redirects followed by hand so that the token stays with its origin, silence ended, errors in words. */
import { CancelledError, UserError, errorCode, errorMessage } from "../../util/index.ts";
import type { HubSettings } from "./settings.ts";

/** A failure that may pass: worth another attempt. */
export class TransientError extends Error {
  /** What the server asked to wait, milliseconds. */
  readonly retryAfter: number | undefined;
  /** No connection came about at all. */
  readonly unreachable: boolean;

  constructor(
    message: string,
    options: { retryAfter?: number; unreachable?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "TransientError";
    this.retryAfter = options.retryAfter;
    this.unreachable = options.unreachable ?? false;
  }
}

export interface RequestOptions {
  readonly method?: "GET" | "HEAD";
  readonly range?: string;
  readonly signal?: AbortSignal;
  /** Names the thing asked for in messages: `owner/name`. */
  readonly what: string;
  /** Silence longer than this ends the request, milliseconds. */
  readonly silence?: number;
}

export interface HubResponse {
  readonly status: number;
  /** Of the last hop. */
  readonly headers: Headers;
  /** Of the endpoint's own answer, before redirects to storage: `X-Repo-Commit`, `X-Linked-Etag`. */
  readonly ownHeaders: Headers;
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the request when its body is not wanted. */
  cancel(): void;
}

const mostRedirects = 10;
const defaultSilence = 30_000;

/** Statuses below 400, and 416, are returned; others throw a UserError or a TransientError. */
export async function hubRequest(
  url: string,
  settings: HubSettings,
  options: RequestOptions,
): Promise<HubResponse> {
  const guard = silenceGuard(options);
  let target = new URL(url);
  let ownHeaders: Headers | undefined;
  try {
    for (let hop = 0; hop <= mostRedirects; hop++) {
      guard.alive();
      const response = await fetch(target, {
        method: options.method ?? "GET",
        headers: headersFor(target, settings, options),
        redirect: "manual",
        signal: guard.signal,
      });
      if (target.origin === new URL(settings.endpoint).origin) ownHeaders = response.headers;
      if (response.status >= 300 && response.status < 400 && response.headers.has("location")) {
        await response.body?.cancel();
        target = redirected(target, response.headers.get("location")!, settings);
        continue;
      }
      if (response.status >= 400 && response.status !== 416) {
        const problem = await refusal(response, target, settings, options);
        guard.end();
        throw problem;
      }
      if (options.method === "HEAD") guard.end();
      return {
        status: response.status,
        headers: response.headers,
        ownHeaders: ownHeaders ?? response.headers,
        body: readBody(response, guard),
        cancel: guard.cancel,
      };
    }
    throw new UserError(`${hostOf(settings)} redirects without end`, { next: "Check HF_ENDPOINT." });
  } catch (error) {
    guard.end();
    throw guard.explain(error, `cannot reach ${target.host}`);
  }
}

function headersFor(target: URL, settings: HubSettings, options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = {
    "user-agent": "attune",
    // Compressed answers have other lengths than the files.
    "accept-encoding": "identity",
  };
  if (options.range !== undefined) headers["range"] = options.range;
  if (settings.token !== undefined && target.origin === new URL(settings.endpoint).origin) {
    if (settings.kind === "modelscope") headers["cookie"] = `m_session_id=${settings.token}`;
    else headers["authorization"] = `Bearer ${settings.token}`;
  }
  return headers;
}

function redirected(from: URL, location: string, settings: HubSettings): URL {
  const to = URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (to === undefined || !["http:", "https:"].includes(to.protocol)) {
    throw new UserError(`${hostOf(settings)} redirects to something that is not a web address`, {
      next: "Check HF_ENDPOINT.",
    });
  }
  if (from.protocol === "https:" && to.protocol === "http:") {
    throw new UserError(
      `${from.host} redirects from https to plain http (${to.host}), which is not followed`,
      {
        next: "Use another mirror.",
      },
    );
  }
  return to;
}

async function refusal(
  response: Response,
  target: URL,
  settings: HubSettings,
  options: RequestOptions,
): Promise<UserError | TransientError> {
  const { status, headers } = response;
  await response.body?.cancel();
  const code = headers.get("x-error-code") ?? "";
  const host = hostOf(settings);
  const tokenName = settings.kind === "modelscope" ? "MODELSCOPE_API_TOKEN" : "HF_TOKEN";
  const page = `${settings.endpoint}/${options.what.replace(/[@:].*$/, "")}`;
  if (status === 429 || status === 408 || status >= 500) {
    const wait = retryAfter(headers.get("retry-after"));
    return new TransientError(
      status === 429
        ? `${target.host} asks for fewer requests (429)`
        : `${target.host} has a problem (${status})`,
      wait === undefined ? {} : { retryAfter: wait },
    );
  }
  if (code === "GatedRepo" || status === 403) {
    return new UserError(`${host} does not give access to ${options.what} (${status})`, {
      next:
        settings.token === undefined
          ? `Accept the model's terms on ${page}, then set ${tokenName}.`
          : `Accept the model's terms on ${page} with the account that ${tokenName} belongs to.`,
    });
  }
  if (status === 401) {
    return new UserError(`${options.what} does not exist on ${host}, or is private (401)`, {
      next:
        settings.token === undefined
          ? `Check the spelling; for a private model set ${tokenName}.`
          : `Check the spelling, and that ${tokenName} is valid.`,
    });
  }
  if (status === 404) {
    const missing = code === "RevisionNotFound" ? "has no such revision of" : "has no";
    return new UserError(`${host} ${missing} ${options.what} (404)`, { next: `Look at ${page}.` });
  }
  return new UserError(`${host} refuses ${options.what} (${status})`, { next: `Look at ${page}.` });
}

/** Seconds or a date → milliseconds, at most a minute. */
function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const milliseconds = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) ? Math.min(Math.max(milliseconds, 0), 60_000) : undefined;
}

function hostOf(settings: HubSettings): string {
  return new URL(settings.endpoint).host;
}

interface Guard {
  readonly signal: AbortSignal;
  /** Puts the end of patience off. */
  alive(): void;
  end(): void;
  cancel(): void;
  explain(error: unknown, what: string): unknown;
}

function silenceGuard(options: RequestOptions): Guard {
  const silence = options.silence ?? defaultSilence;
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let silent = false;
  const onAbort = (): void => controller.abort();
  if (options.signal?.aborted === true) controller.abort();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const guard: Guard = {
    signal: controller.signal,
    alive: () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        silent = true;
        controller.abort();
      }, silence);
    },
    end: () => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    },
    cancel: () => {
      guard.end();
      controller.abort();
    },
    explain: (error, what) => {
      if (options.signal?.aborted === true) return new CancelledError(`fetching ${options.what}`);
      if (error instanceof UserError || error instanceof TransientError) return error;
      if (silent) return new TransientError(`${what}: no answer for ${Math.round(silence / 1000)} s`);
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      const code = errorCode(cause);
      const unreachable =
        code !== undefined &&
        /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/.test(
          code,
        );
      return new TransientError(`${what}: ${code ?? errorMessage(cause)}`, { unreachable, cause: error });
    },
  };
  return guard;
}

async function* readBody(response: Response, guard: Guard): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  try {
    for (;;) {
      guard.alive();
      const next = await reader?.read();
      if (next === undefined || next.done) return;
      yield next.value;
    }
  } catch (error) {
    throw guard.explain(error, "the connection broke");
  } finally {
    guard.end();
    // When the consumer stops early the rest is not wanted.
    reader?.cancel().catch(() => {});
  }
}

/** Reads a JSON answer of at most `mostBytes`. */
export async function hubJson(
  url: string,
  settings: HubSettings,
  options: RequestOptions,
  mostBytes = 64 * 1024 * 1024,
): Promise<unknown> {
  const response = await hubRequest(url, settings, options);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > mostBytes) {
      response.cancel();
      throw new UserError(`the answer of ${hostOf(settings)} about ${options.what} is too large`);
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (error) {
    throw new TransientError(`the answer of ${hostOf(settings)} about ${options.what} is not JSON`, {
      cause: error,
    });
  }
}
