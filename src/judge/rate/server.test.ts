/** The rating server: who gets in, what raters may see, 20 at once, and kill -9 in the middle. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { inFolder, somePredictions } from "./fixtures.contract.ts";
import { linkToken, rateApp, startRateServer } from "./server.ts";
import { type SeatState, type Study, openStudy } from "./study.ts";
import { readRatings } from "./transfer.ts";

const token = "a-token-for-the-tests-0001";
const who = { rater: "Anna", tab: "tab-one-1" };

async function withApp(use: (post: Post, study: Study, folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const study = await openStudy(join(folder, "r.jsonl"), somePredictions(6));
    const app = rateApp({ study, token });
    const post: Post = async (path, body, given = token) =>
      app.request(path, {
        method: "POST",
        headers: { Authorization: `Bearer ${given}`, "Content-Type": "application/json" },
        body: typeof body === "string" ? body : JSON.stringify(body),
      });
    await use(post, study, folder);
    await study.close();
  });
}
type Post = (path: string, body: unknown, token?: string) => Promise<Response>;

describe("the calls", () => {
  it("need the link's token", async () => {
    await withApp(async (post) => {
      for (const wrong of ["", "x", `${token} `, `${token}x`, token.slice(0, -1)]) {
        const expected = wrong === `${token} ` ? [200, 401] : [401];
        expect(expected).toContain((await post("/api/seat", who, wrong)).status);
      }
      expect((await post("/api/seat", who)).status).toBe(200);
    });
  });

  it("tell nothing of system, intent, id or reference", async () => {
    await withApp(async (post) => {
      let { assignment } = (await (await post("/api/seat", who)).json()) as SeatState;
      for (let i = 0; i < 8; i++) {
        const { key, revision } = assignment!;
        const response = await post("/api/ratings", {
          ...who,
          key,
          revision,
          fluency: 2,
          relevance: 3,
          safety: 1,
        });
        const text = await response.text();
        expect(text).not.toMatch(/secret|track|refund|cancel|prompt-|dialogue-|arrives tomorrow\./);
        assignment = (JSON.parse(text) as { state: SeatState }).state.assignment;
      }
    });
  });

  it.each([
    ["{", "not JSON"],
    [{}, "rater"],
    [{ ...who, tab: "../../x" }, "tab"],
    [{ ...who, rater: "   " }, "1 to 40"],
    [{ ...who, rater: "x".repeat(41) }, "1 to 40"],
    [{ ...who, rater: "Anna\u202e" }, "control"],
  ])("refuse %j", async (body, problem) => {
    await withApp(async (post) => {
      const response = await post("/api/seat", body);
      expect(response.status).toBe(400);
      expect(((await response.json()) as { problem: string }).problem).toContain(problem);
    });
  });

  it("refuse scores off the scale and bodies without end, and write nothing of them", async () => {
    await withApp(async (post, study) => {
      const { assignment } = (await (await post("/api/seat", who)).json()) as SeatState;
      const good = { ...who, key: assignment!.key, revision: 0, fluency: 2, relevance: 2, safety: 1 };
      for (const bad of [
        { fluency: 4 },
        { relevance: -1 },
        { safety: 2 },
        { fluency: 1.5 },
        { fluency: "2" },
        { key: "x" },
        { comment: "x".repeat(2001) },
      ]) {
        expect((await post("/api/ratings", { ...good, ...bad })).status).toBe(400);
      }
      expect((await post("/api/ratings", { ...good, comment: "x".repeat(70_000) })).status).toBe(413);
      expect((await post("/api/ratings", { ...good, key: "0".repeat(16) })).status).toBe(409);
      expect(study.ratings()).toEqual([]);
    });
  });
});

it("pages carry a strict policy, and no other file is served", async () => {
  await inFolder(async (folder) => {
    const study = await openStudy(join(folder, "r.jsonl"), somePredictions(2));
    const app = rateApp({ study, token });
    for (const path of ["/", "/rate.js", "/base.css", "/rate.css", "/texts.js", "/icon.svg"]) {
      const response = await app.request(path);
      expect(response.status).toBe(200);
      const policy = response.headers.get("Content-Security-Policy")!;
      expect(policy).toContain("default-src 'none'; script-src 'self'");
      expect(policy).not.toContain("unsafe");
      expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
      const text = await response.text();
      expect(text).not.toMatch(
        /innerHTML|insertAdjacentHTML|document\.write|eval\(|style="|<script>|onclick=|https?:\/\/(?!www\.w3)/,
      );
    }
    for (const path of ["/../package.json", "/tsconfig.json", "/%2e%2e/r.jsonl", "/api/export", "/rate"]) {
      expect([401, 404]).toContain((await app.request(path)).status);
    }
    await study.close();
  });
});

it("a disk that refuses is told as such: nothing counts as saved, and the next try is taken", async () => {
  await inFolder(async (folder) => {
    const study = await openStudy(join(folder, "r.jsonl"), somePredictions(2));
    let full = true;
    const failing: Study = {
      ...study,
      rate: async (seat, submission) => {
        if (full) throw new Error("ENOSPC");
        return study.rate(seat, submission);
      },
    };
    const app = rateApp({ study: failing, token });
    const send = async (): Promise<number> => {
      const { assignment } = study.seat(who);
      const { key, revision } = assignment!;
      const body = JSON.stringify({ ...who, key, revision, fluency: 2, relevance: 2, safety: 1 });
      return (
        await app.request("/api/ratings", {
          method: "POST",
          headers: { Authorization: `Bearer ${token}` },
          body,
        })
      ).status;
    };
    expect(await send()).toBe(500);
    expect(study.ratings()).toHaveLength(0);
    full = false;
    expect(await send()).toBe(200);
    expect(study.ratings()).toHaveLength(1);
    await study.close();
  });
});

it("keeps its token beside the ratings, for its owner alone, and names a port that is taken", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "r.jsonl.link");
    const first = await linkToken(path);
    expect(first).toMatch(/^[\w-]{24}$/);
    expect(await linkToken(path)).toBe(first);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const study = await openStudy(join(folder, "r.jsonl"), somePredictions(2));
    const server = await startRateServer({ study, token });
    await expect(startRateServer({ study, token, port: server.port })).rejects.toThrow(
      `port ${server.port} of 127.0.0.1 is taken`,
    );
    await expect(startRateServer({ study, token, host: "192.0.2.1" })).rejects.toThrow(
      "cannot listen on 192.0.2.1",
    );
    await server.close();
    await study.close();
  });
});

/** Rates over the network until nothing is left; sends every rating twice at once, as an impatient client would. */
async function rateAll(url: string, rater: string, limit = Number.POSITIVE_INFINITY): Promise<string[]> {
  const { origin, hash } = new URL(url);
  const call = async (path: string, body: object): Promise<Response> =>
    fetch(`${origin}${path}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${hash.slice(1)}` },
      body: JSON.stringify({ rater, tab: `tab-of-${rater}`, ...body }),
    });
  const acknowledged: string[] = [];
  try {
    let state = (await (await call("/api/seat", {})).json()) as SeatState;
    while (state.assignment !== undefined && acknowledged.length < limit) {
      const { key, revision } = state.assignment;
      const body = { key, revision, fluency: acknowledged.length % 4, relevance: 2, safety: 1 };
      const answers = await Promise.all([call("/api/ratings", body), call("/api/ratings", body)]);
      if (!answers.every((answer) => answer.status === 200)) throw new Error(`status ${answers[0]!.status}`);
      acknowledged.push(key);
      state = ((await answers[1]!.json()) as { state: SeatState }).state;
      await answers[0]!.arrayBuffer();
    }
  } catch (error) {
    // The server was killed under us: what it acknowledged before counts.
    if (limit !== Number.POSITIVE_INFINITY || !(error instanceof TypeError)) throw error;
  }
  return acknowledged;
}

it("20 raters at once lose and double nothing", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "r.jsonl");
    const study = await openStudy(path, somePredictions(30), { overlap: 1, overlapRaters: 5 });
    const server = await startRateServer({ study, token });
    const raters = Array.from({ length: 20 }, (_, i) => `Rater ${i}`);
    const acknowledged = await Promise.all(
      raters.map(async (rater) => rateAll(server.url, rater.replace(" ", "-"))),
    );
    expect(acknowledged.flat()).toHaveLength(300);
    await server.close();
    await study.close();
    const ratings = await readRatings(path);
    expect(ratings).toHaveLength(300);
    expect(new Set(ratings.map(({ id, system, rater }) => `${id} ${system} ${rater}`)).size).toBe(300);
  });
});

it("kill -9 in the middle costs nothing that was acknowledged, and the study goes on", async (ctx) => {
  if (process.platform === "win32") ctx.skip("no SIGKILL on Windows");
  await inFolder(async (folder) => {
    const predictions = join(folder, "p.jsonl");
    await writeFile(
      predictions,
      somePredictions(200)
        .map((line) => JSON.stringify(line))
        .join("\n"),
    );
    const path = join(folder, "ratings.jsonl");
    const command = new URL("../../cli/commands/rate.ts", import.meta.url).href;
    const program = `const { rateCommand } = await import(${JSON.stringify(command)});
      await rateCommand().parseAsync(${JSON.stringify([predictions, "--prompts", "200"])}, { from: "user" });`;
    const tsx = fileURLToPath(import.meta.resolve("tsx"));
    let total = 0;
    for (let round = 0; round < 2; round++) {
      const child = spawn(process.execPath, ["--import", tsx, "--input-type=module", "-e", program], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let printed = "";
      const url = await new Promise<string>((resolve, reject) => {
        child.once("exit", () => reject(new Error(`ended early: ${printed}`)));
        child.stdout.on("data", (chunk: Buffer) => {
          printed += chunk.toString();
          const link = /http:\S+/.exec(printed);
          if (link !== null) resolve(link[0]);
        });
      });
      const raters = ["Anna", "Ben", "Cem"].map(async (rater) => rateAll(url, rater));
      await new Promise((resolve) => {
        child.stdout.on("data", () => {
          if (printed.split(" rated").length > 40) resolve(undefined);
        });
      });
      child.kill("SIGKILL");
      await once(child, "exit");
      total += (await Promise.all(raters)).flat().length;
      const ratings = await readRatings(path);
      expect(ratings.length).toBeGreaterThanOrEqual(total);
      // Each rater may have had one rating on disk whose acknowledgement the kill cut off.
      expect(ratings.length).toBeLessThanOrEqual(total + 3 * (round + 1));
      expect(new Set(ratings.map(({ id, system, rater }) => `${id} ${system} ${rater}`)).size).toBe(
        ratings.length,
      );
      expect(total).toBeGreaterThan(20);
    }
  });
});
