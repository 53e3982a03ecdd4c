/** Runs the real program in a process of its own, as it is typed. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const program = fileURLToPath(new URL("../../bin/attune.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AttuneOptions {
  readonly input?: string;
  readonly cwd?: string;
  /** Beside what is inherited. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Paths in `words` are the caller's business; nothing is inherited but the environment. */
export function attune(words: readonly string[], options: AttuneOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...words], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
  });
}

/** The last line of `--json` output, which is the result. */
export function resultOf({ stdout }: Ended): Record<string, unknown> {
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, unknown>;
}
