/** No intent above a share of the training examples: by leaving examples out, or by loss weights. */
import { type Random, random } from "../../util/index.ts";
import { largestShare, shareCap } from "./cap.ts";
import { type Copies, type RowColumns, countByClass } from "./columns.ts";

export interface BalanceOptions {
  readonly method: "drop" | "weight" | "off";
  /** The largest share an intent may have: (0, 1]. */
  readonly maxShare: number;
  /** Down-sampling that would cost more than this share of the examples gives way to weights. */
  readonly maxLoss: number;
  /** No weight is larger: a handful of examples must not steer the training. */
  readonly maxWeight: number;
  readonly seed: number;
}

export interface BalanceReport {
  readonly method: BalanceOptions["method"];
  readonly maxShare: number;
  /** Largest share before and after; after weighting it is the share of the summed weights. */
  readonly shareBefore: number;
  readonly shareAfter: number;
  readonly dropped: number;
  /** Whether the limit holds now. */
  readonly reached: boolean;
  /** What to know, as sentences: why a limit was not reached, why weights were used. */
  readonly notes: readonly string[];
}

export interface BalanceResult {
  readonly copies: Copies;
  /** Loss weight of each class (mean over examples 1), or `undefined` where every weight is 1. */
  readonly weights: readonly number[] | undefined;
  readonly report: BalanceReport;
}

/** Balances the rows whose `copies` are positive. Deterministic for a seed; `copies` is not changed. */
export function balance(
  rows: Pick<RowColumns, "conversation" | "intent">,
  copies: Copies,
  intentNames: readonly string[],
  options: BalanceOptions,
): BalanceResult {
  const counts = countByClass(rows.intent, copies, intentNames.length);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const shareBefore = largestShare(counts);
  const base = { maxShare: options.maxShare, shareBefore };
  const untouched = (notes: readonly string[]): BalanceResult => ({
    copies,
    weights: undefined,
    report: {
      ...base,
      method: options.method,
      shareAfter: shareBefore,
      dropped: 0,
      reached: shareBefore <= options.maxShare + 1e-9,
      notes,
    },
  });
  const cap = shareCap(counts, options.maxShare);
  if (options.method === "off" || cap.cap === Number.POSITIVE_INFINITY) return untouched([]);
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  if (!cap.reachable) {
    const classes = counts.filter((count) => count > 0).length;
    return untouched([
      `${classes} intent${classes === 1 ? "" : "s"} cannot all stay at or below ${percent(options.maxShare)}: ` +
        `the least reachable largest share is 1/${classes} = ${percent(cap.leastShare)}. Nothing was left out; ` +
        `add conversations of other intents, or raise shape.balance.maxShare.`,
    ]);
  }
  const loss = 1 - cap.total / total;
  const notes: string[] = [];
  if (options.method === "drop" && loss <= options.maxLoss) {
    const kept = downSample(rows, copies, counts, cap.cap, random(options.seed, "balance"));
    const shareAfter = largestShare(counts.map((count) => Math.min(count, cap.cap)));
    return {
      copies: kept,
      weights: undefined,
      report: { ...base, method: "drop", shareAfter, dropped: total - cap.total, reached: true, notes },
    };
  }
  if (options.method === "drop") {
    notes.push(
      `Leaving examples out would cost ${percent(loss)} of them (shape.balance.maxLoss is ` +
        `${percent(options.maxLoss)}), so all stay and loss weights balance them.`,
    );
  }
  const { weights, shareAfter, limited } = classWeights(counts, options.maxShare, options.maxWeight);
  if (limited) {
    notes.push(
      `Weights are held at ${options.maxWeight} or below, so the largest share is ${percent(shareAfter)}: ` +
        `the rare intents have too few examples to balance the frequent one.`,
    );
  }
  const reached = shareAfter <= options.maxShare + 1e-9;
  return { copies, weights, report: { ...base, method: "weight", shareAfter, dropped: 0, reached, notes } };
}

/**
 * Weights that give every class min(share, cap) of the loss, mean weight 1 over examples. A class above the
 * limit is scaled down to it and the others are scaled up alike, so their proportions stay as they were.
 */
export function classWeights(
  counts: readonly number[],
  limit: number,
  maxWeight: number,
): { readonly weights: readonly number[]; readonly shareAfter: number; readonly limited: boolean } {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const order = counts.map((_, k) => k).filter((k) => counts[k]! > 0);
  order.sort((a, b) => counts[b]! - counts[a]! || a - b);
  // With the first `above` classes at the limit, the rest share 1 − above · limit in proportion.
  let rest = total;
  let above = 0;
  while (above < order.length) {
    const left = 1 - above * limit;
    if (rest <= 0 || (counts[order[above]!]! / rest) * left <= limit + 1e-12) break;
    rest -= counts[order[above]!]!;
    above += 1;
  }
  const raw = counts.map(() => 1);
  for (const [position, k] of order.entries()) {
    const share = position < above ? limit : (counts[k]! / rest) * (1 - above * limit);
    raw[k] = (share * total) / counts[k]!;
  }
  const limited = raw.some((weight) => weight > maxWeight);
  const held = raw.map((weight) => Math.min(weight, maxWeight));
  const sum = held.reduce((acc, weight, k) => acc + weight * counts[k]!, 0);
  const weights = held.map((weight) => round6((weight * total) / sum));
  const shareAfter = largestShare(counts.map((count, k) => count * held[k]!));
  return { weights, shareAfter, limited };
}

/**
 * Keeps `cap` examples of each class above it, spread over the conversations: all conversations keep up to the
 * same number t of examples of the class, and a few keep one more. Where not even one each is left, the
 * conversations that have no other example come first, so that as few as possible vanish whole.
 */
export function downSample(
  rows: Pick<RowColumns, "conversation" | "intent">,
  copies: Copies,
  counts: readonly number[],
  cap: number,
  rng: Random,
): Copies {
  const kept = copies.slice();
  const cut = new Set(counts.flatMap((count, k) => (count > cap ? [k] : [])));
  const unitsOf = new Map<number, Map<number, number[]>>([...cut].map((k) => [k, new Map()]));
  // Conversations that keep a row whatever happens below.
  const safe = new Set<number>();
  for (let row = 0; row < copies.length; row++) {
    if (copies[row] === 0) continue;
    const group = unitsOf.get(rows.intent[row]!);
    const conversation = rows.conversation[row]!;
    if (group === undefined) {
      safe.add(conversation);
      continue;
    }
    let units = group.get(conversation);
    if (units === undefined) group.set(conversation, (units = []));
    for (let copy = 0; copy < copies[row]!; copy++) units.push(row);
    kept[row] = 0;
  }
  for (const k of [...cut].sort((a, b) => a - b)) {
    const groups = [...unitsOf.get(k)!];
    const level = fillLevel(
      groups.map(([, units]) => units.length),
      cap,
    );
    const withMore = rng.shuffle(groups.filter(([, units]) => units.length > level.each));
    const lonely = withMore.filter(([conversation]) => !safe.has(conversation));
    const others = withMore.filter(([conversation]) => safe.has(conversation));
    const oneMore = new Set(
      [...lonely, ...others].slice(0, level.extra).map(([conversation]) => conversation),
    );
    for (const [conversation, units] of groups) {
      const quota = Math.min(units.length, level.each + (oneMore.has(conversation) ? 1 : 0));
      if (quota > 0) safe.add(conversation);
      for (const row of chooseUnits(units, quota, rng)) kept[row]! += 1;
    }
  }
  return kept;
}

/** `quota` of the units at random, a second copy of a row only when every row already stands once. */
function chooseUnits(units: readonly number[], quota: number, rng: Random): number[] {
  if (quota === units.length) return [...units];
  const seen = new Map<number, number>();
  const ranked = rng.shuffle(units).map((row) => {
    const copy = seen.get(row) ?? 0;
    seen.set(row, copy + 1);
    return { row, copy };
  });
  ranked.sort((a, b) => a.copy - b.copy);
  return ranked.slice(0, quota).map((unit) => unit.row);
}

/** Water-filling: the largest t with Σ min(sizeᵢ, t) ≤ wanted, and how many groups may have one more. */
export function fillLevel(
  sizes: readonly number[],
  wanted: number,
): { readonly each: number; readonly extra: number } {
  const sorted = [...sizes].sort((a, b) => a - b);
  let used = 0;
  for (let i = 0; i < sorted.length; i++) {
    const open = sorted.length - i;
    if (used + sorted[i]! * open > wanted) {
      const each = Math.floor((wanted - used) / open);
      return { each, extra: wanted - used - each * open };
    }
    used += sorted[i]!;
  }
  return { each: sorted.at(-1) ?? 0, extra: 0 };
}

function round6(value: number): number {
  return Math.round(value * 1e6) / 1e6;
}
