/** Iterative stratification: groups that carry several labels, dealt to subsets so that each gets its share. */
import type { Random } from "../../util/index.ts";

/** Groups (conversations) with the labels they carry, as compressed rows: group g has entries offsets[g] … offsets[g + 1]. */
export interface LabelledGroups {
  readonly offsets: Uint32Array;
  readonly labels: Uint32Array;
  /** How many examples of the group have that label. */
  readonly counts: Uint32Array;
  readonly labelCount: number;
}

/**
 * Deals every group to a subset; returns the subset of each group. `fractions` sum to 1.
 *
 * Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", 2011: the label with the fewest
 * groups left is dealt first, each of its groups to the subset that still wants most of that label, ties to the
 * subset that wants most examples, then by chance. Counts are examples, so that a long conversation weighs more;
 * groups of one label are dealt largest first, as in bin packing. A label that only one group carries goes to subset 0.
 */
export function stratify(groups: LabelledGroups, fractions: readonly number[], rng: Random): Uint8Array {
  const { offsets, labels, counts, labelCount } = groups;
  const groupCount = offsets.length - 1;
  const subsets = fractions.length;
  const sizes = new Float64Array(groupCount);
  const labelTotals = new Float64Array(labelCount);
  const left = new Uint32Array(labelCount);
  for (let g = 0; g < groupCount; g++) {
    for (let e = offsets[g]!; e < offsets[g + 1]!; e++) {
      sizes[g]! += counts[e]!;
      labelTotals[labels[e]!]! += counts[e]!;
      left[labels[e]!]! += 1;
    }
  }
  const wantedSize = fractions.map((fraction) => fraction * sizes.reduce((sum, size) => sum + size, 0));
  const wanted = fractions.map((fraction) => labelTotals.map((total) => fraction * total));
  const carriers = left.slice();
  const members = membersByLabel(groups, left);
  const assigned = new Uint8Array(groupCount).fill(255);
  const heap = new LabelHeap(left);

  for (let label = heap.pop(); label !== undefined; label = heap.pop()) {
    const mine = rng.shuffle(members(label).filter((g) => assigned[g] === 255));
    mine.sort((a, b) => sizes[b]! - sizes[a]!);
    for (const g of mine) {
      const subset = carriers[label] === 1 ? 0 : neediest(label);
      assigned[g] = subset;
      wantedSize[subset]! -= sizes[g]!;
      for (let e = offsets[g]!; e < offsets[g + 1]!; e++) {
        wanted[subset]![labels[e]!]! -= counts[e]!;
        left[labels[e]!]! -= 1;
        if (labels[e] !== label) heap.push(labels[e]!);
      }
    }
  }
  return assigned;

  function neediest(label: number): number {
    let best: number[] = [];
    for (let j = 0; j < subsets; j++) {
      if (fractions[j] === 0) continue;
      const first = best[0];
      const difference =
        first === undefined
          ? 1
          : wanted[j]![label]! - wanted[first]![label]! || wantedSize[j]! - wantedSize[first]!;
      if (difference > 0) best = [j];
      else if (difference === 0) best.push(j);
    }
    return best.length === 1 ? best[0]! : rng.pick(best);
  }
}

/** Groups of each label, as one array with an offset a label. */
function membersByLabel(groups: LabelledGroups, carriers: Uint32Array): (label: number) => number[] {
  const starts = new Uint32Array(groups.labelCount + 1);
  for (let label = 0; label < groups.labelCount; label++)
    starts[label + 1] = starts[label]! + carriers[label]!;
  const cursor = starts.slice();
  const flat = new Uint32Array(groups.labels.length);
  for (let g = 0; g + 1 < groups.offsets.length; g++) {
    for (let e = groups.offsets[g]!; e < groups.offsets[g + 1]!; e++) {
      const label = groups.labels[e]!;
      flat[cursor[label]!] = g;
      cursor[label]! += 1;
    }
  }
  return (label) => Array.from(flat.subarray(starts[label]!, starts[label + 1]!));
}

/** Labels by groups left, fewest first; a changed label is pushed again and stale entries are passed over. */
class LabelHeap {
  readonly #left: Uint32Array;
  readonly #entries: { readonly label: number; readonly left: number }[] = [];

  constructor(left: Uint32Array) {
    this.#left = left;
    for (let label = 0; label < left.length; label++) this.push(label);
  }

  push(label: number): void {
    if (this.#left[label] === 0) return;
    const entries = this.#entries;
    entries.push({ label, left: this.#left[label]! });
    for (let i = entries.length - 1; i > 0;) {
      const parent = (i - 1) >> 1;
      if (!this.#before(i, parent)) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  /** The label with the fewest groups left (at least one), lowest id first. */
  pop(): number | undefined {
    const entries = this.#entries;
    for (;;) {
      const top = entries[0];
      if (top === undefined) return undefined;
      const last = entries.pop()!;
      if (entries.length > 0) {
        entries[0] = last;
        this.#sink();
      }
      if (top.left === this.#left[top.label]) return top.label;
    }
  }

  #sink(): void {
    const entries = this.#entries;
    for (let i = 0; ;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < entries.length && this.#before(child, least)) least = child;
      }
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }

  #before(i: number, j: number): boolean {
    const a = this.#entries[i]!;
    const b = this.#entries[j]!;
    return a.left < b.left || (a.left === b.left && a.label < b.label);
  }

  #swap(i: number, j: number): void {
    const entries = this.#entries;
    [entries[i], entries[j]] = [entries[j]!, entries[i]!];
  }
}
