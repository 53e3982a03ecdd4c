/** The arithmetic of "no intent above a share": how many examples of each class can stay. */

export interface ShareCap {
  /** Whether some choice of examples puts every class at or below the limit. */
  readonly reachable: boolean;
  /** Most examples any one class may keep; `Infinity` where nothing has to go. */
  readonly cap: number;
  /** Examples that stay: Σ min(count, cap). */
  readonly total: number;
  /** The smallest largest share that down-sampling can reach with these classes, 1 / classes. */
  readonly leastShare: number;
}

/** Guards comparisons of whole numbers against `limit × total` from the rounding of the limit itself. */
const SLACK = 1e-9;

/**
 * The largest cap c with c ≤ limit · Σ min(nᵢ, c).
 *
 * Removing examples shrinks the total too, so cutting each class to 30 % of the *old* total leaves it above
 * 30 % of the new one. The gap limit · Σ min(nᵢ, c) − c is concave in c and 0 at c = 0, so the caps that hold
 * are an interval from 0, and its end is found on one linear piece. With k classes and k · limit < 1 only
 * c = 0 holds: unreachable, and 1/k is the least share there is.
 */
export function shareCap(counts: readonly number[], limit: number): ShareCap {
  const present = counts.filter((count) => count > 0).sort((a, b) => b - a);
  const total = present.reduce((sum, count) => sum + count, 0);
  const leastShare = present.length === 0 ? 0 : 1 / present.length;
  if (present.length === 0 || present[0]! <= limit * total + SLACK) {
    return { reachable: true, cap: Number.POSITIVE_INFINITY, total, leastShare };
  }
  let rest = total;
  for (let above = 1; above <= present.length; above++) {
    // `above` classes are cut to the cap; the others keep everything.
    rest -= present[above - 1]!;
    const next = present[above] ?? 0;
    const slope = 1 - limit * above;
    if (slope <= SLACK) return capped(present, total, present[above - 1]!, limit, leastShare);
    const cap = Math.floor((limit * rest) / slope + SLACK);
    if (cap >= next) return capped(present, total, cap, limit, leastShare);
  }
  return { reachable: false, cap: 0, total: 0, leastShare };
}

/** Steps down from a candidate until whole numbers satisfy the limit (at most a few steps: rounding only). */
function capped(
  present: readonly number[],
  before: number,
  candidate: number,
  limit: number,
  leastShare: number,
): ShareCap {
  for (let cap = Math.min(candidate, before); cap >= 1; cap--) {
    const total = present.reduce((sum, count) => sum + Math.min(count, cap), 0);
    if (cap <= limit * total + SLACK) return { reachable: true, cap, total, leastShare };
  }
  return { reachable: false, cap: 0, total: 0, leastShare };
}

/** Share of the largest class: [0, 1]. */
export function largestShare(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return total === 0 ? 0 : counts.reduce((most, count) => Math.max(most, count), 0) / total;
}
