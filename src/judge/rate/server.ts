/** The rating page and its four calls, on loopback unless told otherwise; nobody without the link's token gets in. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { serve } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import { UserError, errorCode, errorMessage, readTextFile, writeAtomic } from "../../util/index.ts";
import { markSchema, raterSchema, submissionSchema } from "./rating.ts";
import type { Outcome, Seat, SeatState, Study } from "./study.ts";

export interface RateServerOptions {
  readonly study: Study;
  readonly token: string;
  /** Default 127.0.0.1: this machine alone. */
  readonly host?: string;
  /** Default 0: a free one. */
  readonly port?: number;
  /** Told of each rating that is on disk. */
  readonly onRating?: (rater: string, done: number) => void;
}

export interface RateServer {
  /** The link for raters, token included. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

// The files of the page, and nothing else from that folder.
const pages: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/base.css": ["base.css", "text/css; charset=utf-8"],
  "/rate.css": ["rate.css", "text/css; charset=utf-8"],
  "/rate.js": ["rate.js", "text/javascript; charset=utf-8"],
  "/texts.js": ["texts.js", "text/javascript; charset=utf-8"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
};

const headers: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
};

const tab = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/, "must be 8 to 64 letters or digits");
const seatSchema = z.object({ rater: raterSchema, tab });
const rateCall = submissionSchema.extend({ tab });
const markCall = markSchema.extend({ tab });

/** The application without a socket: what tests call directly. */
export function rateApp(options: Pick<RateServerOptions, "study" | "token" | "onRating">): Hono {
  const { study } = options;
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
    c.header("Cache-Control", c.req.path.startsWith("/api/") ? "no-store" : "no-cache");
  });
  app.onError((error, c) => {
    // A full disk is the rater's business only in so far as nothing was saved.
    const problem = error instanceof UserError ? error.message : "the server failed; nothing was saved";
    return c.json({ error: "failed", problem }, 500);
  });
  app.notFound((c) => c.json({ error: "not-found" }, 404));
  for (const [path, [file, type]] of Object.entries(pages)) {
    app.get(path, async (c) =>
      c.body(await readFile(new URL(file, pageFolder)), 200, { "Content-Type": type }),
    );
  }
  app.use("/api/*", bodyLimit({ maxSize: 64 * 1024, onError: (c) => c.json({ error: "too-large" }, 413) }));
  app.use("/api/*", async (c, next) => {
    if (!sameToken(c.req.header("Authorization") ?? "", `Bearer ${options.token}`)) {
      return c.json({ error: "link", problem: "this link is not valid; ask for a new one" }, 401);
    }
    return next();
  });
  app.post("/api/seat", async (c) => {
    const seat = await body(c, seatSchema);
    return seat instanceof Response ? seat : c.json(study.seat(seat) satisfies SeatState);
  });
  const settle = async (c: Context, seat: Seat, outcome: Promise<Outcome>): Promise<Response> => {
    const settled = await outcome;
    const state = study.seat(seat);
    if (settled.saved && !settled.repeated) options.onRating?.(seat.rater, state.done);
    return c.json({ ...settled, state }, settled.saved ? 200 : 409);
  };
  app.post("/api/ratings", async (c) => {
    const call = await body(c, rateCall);
    if (call instanceof Response) return call;
    const { tab, ...submission } = call;
    const seat = { rater: call.rater, tab };
    return settle(c, seat, study.rate(seat, submission));
  });
  for (const what of ["skip", "undo"] as const) {
    app.post(`/api/${what}`, async (c) => {
      const call = await body(c, markCall);
      if (call instanceof Response) return call;
      const { tab, ...mark } = call;
      const seat = { rater: call.rater, tab };
      return settle(c, seat, study[what](seat, mark));
    });
  }
  return app;
}

const pageFolder = new URL("../../../web/rate/", import.meta.url);

async function body<T>(c: Context, schema: z.ZodType<T>): Promise<T | Response> {
  let value: unknown;
  try {
    value = await c.req.json();
  } catch {
    return c.json({ error: "invalid", problem: "the body is not JSON" }, 400);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  return c.json({ error: "invalid", problem: `${issue.path.map(String).join(".")}: ${issue.message}` }, 400);
}

/** In constant time: hashing first makes the lengths equal. */
function sameToken(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** Serves until closed. A port that is taken or a host that is not this machine's is a `UserError`. */
export async function startRateServer(options: RateServerOptions): Promise<RateServer> {
  await requirePage();
  const host = options.host ?? "127.0.0.1";
  const app = rateApp(options);
  return new Promise((resolve, reject) => {
    const server = serve(
      { fetch: app.fetch, hostname: host, port: options.port ?? 0 },
      (info: AddressInfo) => {
        const name =
          host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host;
        resolve({
          port: info.port,
          // After the #, which browsers keep to themselves: the token enters no log.
          url: `http://${name}:${info.port}/#${options.token}`,
          close: async () => {
            if ("closeAllConnections" in server) server.closeAllConnections();
            await new Promise((done) => server.close(done));
          },
        });
      },
    );
    server.once("error", (error) => reject(explainListenError(error, host, options.port ?? 0)));
  });
}

async function requirePage(): Promise<void> {
  for (const [file] of Object.values(pages)) {
    await readTextFile(fileURLToPath(new URL(file, pageFolder)), "the page's file");
  }
}

function explainListenError(error: unknown, host: string, port: number): unknown {
  switch (errorCode(error)) {
    case "EADDRINUSE":
      return new UserError(`port ${port} of ${host} is taken`, {
        next: "Leave --port out to get a free one.",
        cause: error,
      });
    case "EACCES":
      return new UserError(`no permission to listen on port ${port}`, {
        next: "Take a port above 1023.",
        cause: error,
      });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new UserError(`cannot listen on ${host}: ${errorMessage(error)}`, {
        next: "--host takes an address of this machine, or 0.0.0.0 for all of them.",
        cause: error,
      });
    default:
      return error;
  }
}

/** The link's secret, kept beside the ratings so that links outlive a restart; readable by its owner alone. */
export async function linkToken(path: string): Promise<string> {
  try {
    const known = (await readFile(path, "utf8")).trim();
    if (/^[A-Za-z0-9_-]{22,}$/.test(known)) return known;
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
  const token = randomBytes(18).toString("base64url");
  await writeAtomic(path, async (file) => {
    await file.chmod(0o600);
    await file.writeFile(`${token}\n`);
  });
  return token;
}
