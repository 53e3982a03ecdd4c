/** Several sources mixed by weight: each source gets its share of the training examples. */
import { random } from "../../util/index.ts";
import { type Copies, type RowColumns, countByClass } from "./columns.ts";

export interface MixOptions {
  /** One weight a source; `undefined` for all leaves the mix as it is. Zero leaves a source out of training. */
  readonly weights: readonly (number | undefined)[];
  /** `repeat` copies the scarce sources, `drop` leaves examples of the plentiful ones out. */
  readonly by: "repeat" | "drop";
  /** No example stands more often than this. */
  readonly maxCopies: number;
  readonly seed: number;
}

export interface MixReport {
  /** Per source: share wanted, and examples before and after. */
  readonly sources: readonly { readonly wanted: number; readonly before: number; readonly after: number }[];
  readonly notes: readonly string[];
}

/** Sets copies so that sources stand in proportion to their weights; `undefined` where no weight is given. */
export function mixSources(
  rows: Pick<RowColumns, "source">,
  copies: Copies,
  names: readonly string[],
  options: MixOptions,
): { readonly copies: Copies; readonly report: MixReport } | undefined {
  if (options.weights.every((weight) => weight === undefined)) return undefined;
  const before = countByClass(rows.source, copies, names.length);
  const weights = names.map((_, k) => (before[k] === 0 ? 0 : (options.weights[k] ?? 1)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const notes: string[] = [];
  if (sum === 0) {
    notes.push("Every source with examples has the weight 0, so the mix was left as it is.");
    return {
      copies,
      report: { sources: before.map((count) => ({ wanted: 0, before: count, after: count })), notes },
    };
  }
  // Examples per unit of weight: the plentiful source keeps all (repeat), or the scarce one does (drop).
  const ratios = weights.flatMap((weight, k) => (weight > 0 ? [before[k]! / weight] : []));
  const scale = ratios.reduce((a, b) => (options.by === "repeat" ? Math.max(a, b) : Math.min(a, b)));
  const target = weights.map((weight, k) => {
    const exact = Math.round(weight * scale);
    const most = before[k]! * options.maxCopies;
    if (exact <= most) return exact;
    notes.push(
      `${names[k]} would have to stand ${(exact / before[k]!).toFixed(1)} times to reach its weight; ` +
        `it stands ${options.maxCopies} times (shape.maxCopies).`,
    );
    return most;
  });
  const result = copies.slice();
  const rng = random(options.seed, "mix");
  for (let source = 0; source < names.length; source++) {
    const mine: number[] = [];
    for (let row = 0; row < copies.length; row++) {
      if (rows.source[row] === source && copies[row]! > 0) mine.push(row);
    }
    if (mine.length === 0 || target[source] === before[source]) continue;
    const whole = Math.floor(target[source]! / mine.length);
    const extra = target[source]! - whole * mine.length;
    for (const row of mine) result[row] = whole;
    for (const row of rng.shuffle(mine).slice(0, extra)) result[row]! += 1;
  }
  const after = countByClass(rows.source, result, names.length);
  const sources = names.map((_, k) => ({ wanted: weights[k]! / sum, before: before[k]!, after: after[k]! }));
  return { copies: result, report: { sources, notes } };
}
