/** The one error a user is meant to read: it names the value, the rule and the next step. */

export interface UserErrorDetails {
  /** Where the value stands: a file, with line and column where they are known. */
  readonly at?: string;
  /** What to do now, as one imperative sentence. */
  readonly next?: string;
  readonly cause?: unknown;
}

/**
 * A failure that bad input or the environment caused. The command line prints its message alone;
 * any other error is a defect of ours and is printed with its stack.
 */
export class UserError extends Error {
  readonly at: string | undefined;
  readonly next: string | undefined;

  constructor(problem: string, details: UserErrorDetails = {}) {
    const place = details.at === undefined ? "" : ` (${details.at})`;
    const next = details.next === undefined ? "" : ` ${details.next}`;
    super(`${problem}${place}${/[.!?]$/.test(problem) && place === "" ? "" : "."}${next}`, {
      cause: details.cause,
    });
    this.name = "UserError";
    this.at = details.at;
    this.next = details.next;
  }
}

/** A call that its user cancelled. */
export class CancelledError extends Error {
  constructor(what: string) {
    super(`${what} was cancelled`);
    this.name = "CancelledError";
  }
}

/** The `code` of a Node system error such as `ENOENT`, else `undefined`. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The candidate nearest to `word` by edit distance, when it is near enough to be what was meant. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substitution));
    }
    row = next;
  }
  return row[b.length]!;
}
