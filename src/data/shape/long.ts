/** More long dialogues: repeats training examples with many turns until they have a wanted share. */
import { random } from "../../util/index.ts";
import { type Copies, type RowColumns, countByClass } from "./columns.ts";

export interface LongOptions {
  /** An example is long when it has more exchanges than this. */
  readonly overTurns: number;
  /** The wanted share of long examples, or `undefined` to show the share and change nothing. */
  readonly share: number | undefined;
  /** No example stands more often than this. */
  readonly maxCopies: number;
  /** The balance of intents is kept: no copy takes an intent above this share. */
  readonly maxIntentShare: number;
  readonly seed: number;
}

export interface LongReport {
  readonly overTurns: number;
  readonly wanted: number | undefined;
  readonly shareBefore: number;
  readonly shareAfter: number;
  readonly added: number;
  readonly notes: readonly string[];
}

/** Σ copies of the examples over `overTurns`, divided by Σ copies. */
export function longShare(turns: Uint16Array, copies: Copies, overTurns: number): number {
  let total = 0;
  let long = 0;
  for (let row = 0; row < copies.length; row++) {
    total += copies[row]!;
    if (turns[row]! > overTurns) long += copies[row]!;
  }
  return total === 0 ? 0 : long / total;
}

/** Repeats long examples evenly (every one once before any one twice). `copies` is not changed. */
export function raiseLongShare(
  rows: Pick<RowColumns, "intent" | "turns">,
  copies: Copies,
  intentCount: number,
  options: LongOptions,
): { readonly copies: Copies; readonly report: LongReport } {
  const { overTurns, share: wanted } = options;
  const shareBefore = longShare(rows.turns, copies, overTurns);
  const base = { overTurns, wanted, shareBefore };
  if (wanted === undefined || shareBefore >= wanted) {
    return { copies, report: { ...base, shareAfter: shareBefore, added: 0, notes: [] } };
  }
  const long: number[] = [];
  let total = 0;
  let longTotal = 0;
  for (let row = 0; row < copies.length; row++) {
    total += copies[row]!;
    if (copies[row]! > 0 && rows.turns[row]! > overTurns) {
      long.push(row);
      longTotal += copies[row]!;
    }
  }
  if (long.length === 0) {
    const notes = [`No training example has more than ${overTurns} turns: there is nothing to repeat.`];
    return { copies, report: { ...base, shareAfter: shareBefore, added: 0, notes } };
  }
  // (L + k) / (N + k) ≥ s  ⇔  k ≥ (sN − L) / (1 − s)
  const needed =
    wanted >= 1 ? Number.POSITIVE_INFINITY : Math.ceil((wanted * total - longTotal) / (1 - wanted) - 1e-9);
  const result = copies.slice();
  const counts = countByClass(rows.intent, copies, intentCount);
  const rng = random(options.seed, "long");
  let added = 0;
  for (let round = 0; added < needed && round < options.maxCopies; round++) {
    const before = added;
    for (const row of rng.shuffle(long)) {
      if (added >= needed) break;
      const intent = rows.intent[row]!;
      const fits = counts[intent]! + 1 <= options.maxIntentShare * (total + added + 1) + 1e-9;
      if (result[row]! >= options.maxCopies || !fits) continue;
      result[row]! += 1;
      counts[intent]! += 1;
      added += 1;
    }
    if (added === before) break;
  }
  const shareAfter = longShare(rows.turns, result, overTurns);
  const notes =
    shareAfter + 1e-9 >= wanted
      ? []
      : [
          `The share of examples over ${overTurns} turns could be raised to ${(shareAfter * 100).toFixed(1)} % only, ` +
            `not to ${(wanted * 100).toFixed(1)} %: no example stands more than ${options.maxCopies} times and no ` +
            `intent passes its limit.`,
        ];
  return { copies: result, report: { ...base, shareAfter, added, notes } };
}
