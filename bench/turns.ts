/** Processes that are measured in turn: each works only while it is asked, so that two never run at once. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { UserError } from "../src/util/index.ts";

export type Answer = Readonly<Record<string, unknown>>;

/** One side of a comparison. It speaks lines of JSON that begin with `@`, and sleeps on its standard input between. */
export interface Side {
  readonly name: string;
  /** Sends `request` and waits for the one answer to it. */
  ask(request: Readonly<Record<string, unknown>>): Promise<Answer>;
  close(): Promise<void>;
}

export interface SideOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts a side and waits until it says that it is ready. */
export async function startSide(options: SideOptions): Promise<Side & { readonly ready: Answer }> {
  const child = spawn(options.command, options.args, {
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const answers = answersOf(child, options.name);
  const ready = await answers();
  return {
    name: options.name,
    ready,
    ask: async (request) => {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      return answers();
    },
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** The next answer; a process that ends instead is an error that carries the end of what it wrote. */
function answersOf(child: ChildProcess, name: string): () => Promise<Answer> {
  const waiting: ((answer: Answer | Error) => void)[] = [];
  const pending: Answer[] = [];
  const said: string[] = [];
  let failure: Error | undefined;
  const settle = (error: Error): void => {
    failure ??= error;
    for (const resolve of waiting.splice(0)) resolve(failure);
  };
  createInterface({ input: child.stdout! }).on("line", (line) => {
    if (!line.startsWith("@")) {
      said.push(line);
      return;
    }
    const answer = JSON.parse(line.slice(1)) as Answer;
    const next = waiting.shift();
    if (next === undefined) pending.push(answer);
    else next(answer);
  });
  createInterface({ input: child.stderr! }).on("line", (line) => said.push(line));
  child.on("error", (error) => settle(new UserError(`${name} cannot be started: ${error.message}`)));
  child.on("close", (code, signal) =>
    settle(new UserError(`${name} ended (${signal ?? code}):\n${said.slice(-20).join("\n")}`)),
  );
  return async () => {
    const known = pending.shift();
    if (known !== undefined) return known;
    if (failure !== undefined) throw failure;
    const answer = await new Promise<Answer | Error>((resolve) => waiting.push(resolve));
    if (answer instanceof Error) throw answer;
    return answer;
  };
}

/** The other end: answers each request that arrives on standard input, one after another. */
export async function serveTurns(
  ready: Answer,
  answer: (request: Readonly<Record<string, unknown>>) => Promise<Answer>,
): Promise<void> {
  const say = (message: Answer): void => {
    process.stdout.write(`@${JSON.stringify(message)}\n`);
  };
  say(ready);
  for await (const line of createInterface({ input: process.stdin }))
    say(await answer(JSON.parse(line) as Readonly<Record<string, unknown>>));
}

/** The seconds of each micro-batch of a step, the last with the update, as a side answers them. */
export function microBatchSeconds({ seconds }: Answer): readonly number[] {
  return (seconds as readonly number[]).map(Number);
}

/**
 * The time of each of `steps` steps that were made round after round: the least of each of its micro-batches. Other programs
 * and other tenants of a processor only ever add time, for seconds on end, so of many rounds the least is nearest to what the
 * work itself takes.
 */
export function leastOfRounds(turns: readonly (readonly number[])[], steps: number): number[] {
  return Array.from({ length: steps }, (_, step) => {
    const rounds = turns.filter((_, turn) => turn % steps === step);
    return rounds[0]!.reduce((sum, _, part) => sum + Math.min(...rounds.map((parts) => parts[part]!)), 0);
  });
}
