/** Train, validation and test by conversation: stratified by intent, rare classes in train, no split left empty. */
import { type Random, random } from "../../util/index.ts";
import { type LabelledGroups, stratify } from "./stratify.ts";

export const SPLITS = ["train", "validation", "test"] as const;
export type Split = (typeof SPLITS)[number];

export interface SplitOptions {
  /** Shares of the labels, one a reply; they sum to 1. A share of 0 leaves that split empty. */
  readonly fractions: { readonly [S in Split]: number };
  readonly seed: number;
}

export interface SplitResult {
  /** Index into `SPLITS` for each conversation. */
  readonly splitOf: Uint8Array;
  /** Labels that a single conversation carries: they are learned and never measured. */
  readonly singleLabels: readonly number[];
  readonly notes: readonly string[];
}

/**
 * Pairs of (conversation, label), one an example or a labelled turn, gathered into groups; equal pairs are counted.
 * Conversations without a pair stand with no entry, so give every conversation at least one (the missing intent is a label).
 */
export function groupLabels(
  conversations: Uint32Array,
  labels: Uint32Array,
  conversationCount: number,
  labelCount: number,
): LabelledGroups {
  const starts = new Uint32Array(conversationCount + 1);
  for (const conversation of conversations) starts[conversation + 1]! += 1;
  for (let g = 0; g < conversationCount; g++) starts[g + 1]! += starts[g]!;
  const sorted = new Uint32Array(labels.length);
  const cursor = starts.slice();
  for (let pair = 0; pair < labels.length; pair++) {
    const g = conversations[pair]!;
    sorted[cursor[g]!] = labels[pair]!;
    cursor[g]! += 1;
  }
  const offsets = new Uint32Array(conversationCount + 1);
  const distinct = new Uint32Array(labels.length);
  const counts = new Uint32Array(labels.length);
  let entry = 0;
  for (let g = 0; g < conversationCount; g++) {
    const own = sorted.subarray(starts[g]!, starts[g + 1]!).sort();
    for (let i = 0; i < own.length; i++) {
      if (i > 0 && own[i] === own[i - 1]) counts[entry - 1]! += 1;
      else {
        distinct[entry] = own[i]!;
        counts[entry] = 1;
        entry += 1;
      }
    }
    offsets[g + 1] = entry;
  }
  return { offsets, labels: distinct.slice(0, entry), counts: counts.slice(0, entry), labelCount };
}

/** Deals the conversations; deterministic for a seed. */
export function splitConversations(groups: LabelledGroups, options: SplitOptions): SplitResult {
  const fractions = SPLITS.map((split) => options.fractions[split]);
  const rng = random(options.seed, "split");
  const splitOf = stratify(groups, fractions, rng);
  const carriers = new Uint32Array(groups.labelCount);
  for (const label of groups.labels) carriers[label]! += 1;
  const singleLabels = [...carriers.keys()].filter((label) => carriers[label] === 1);
  const notes = fillEmptySplits(groups, splitOf, fractions, carriers, rng);
  return { splitOf, singleLabels, notes };
}

/**
 * A split that was wanted but got nothing takes one conversation from train, when train can spare it: the one
 * whose labels most others carry. With very few conversations train comes first.
 */
function fillEmptySplits(
  groups: LabelledGroups,
  splitOf: Uint8Array,
  fractions: readonly number[],
  carriers: Uint32Array,
  rng: Random,
): string[] {
  const notes: string[] = [];
  const sizes = [0, 0, 0];
  for (const split of splitOf) sizes[split]! += 1;
  for (const [j, name] of SPLITS.entries()) {
    if (j === 0 || fractions[j] === 0 || sizes[j]! > 0) continue;
    if (sizes[0]! < 2) {
      notes.push(`The ${name} split is empty: there are too few conversations to fill it.`);
      continue;
    }
    const spare = rng
      .shuffle([...splitOf.keys()].filter((g) => splitOf[g] === 0))
      .map((g) => ({ g, rarest: rarestLabel(groups, carriers, g) }))
      .reduce((best, next) => (next.rarest > best.rarest ? next : best));
    splitOf[spare.g] = j;
    sizes[0]! -= 1;
    sizes[j]! += 1;
    notes.push(`The ${name} split would have been empty; it was given one conversation of train.`);
  }
  return notes;
}

function rarestLabel(groups: LabelledGroups, carriers: Uint32Array, g: number): number {
  let rarest = Number.POSITIVE_INFINITY;
  for (let e = groups.offsets[g]!; e < groups.offsets[g + 1]!; e++) {
    rarest = Math.min(rarest, carriers[groups.labels[e]!]!);
  }
  return rarest;
}

/**
 * How far the splits are from their wanted shares of each label: the mean over labels and splits of
 * |examples of the label in the split − wanted| / examples of the label. 0 is perfect.
 */
export function stratificationError(
  groups: LabelledGroups,
  splitOf: Uint8Array,
  fractions: readonly number[],
): number {
  const totals = new Float64Array(groups.labelCount);
  const found = fractions.map(() => new Float64Array(groups.labelCount));
  for (let g = 0; g < splitOf.length; g++) {
    for (let e = groups.offsets[g]!; e < groups.offsets[g + 1]!; e++) {
      totals[groups.labels[e]!]! += groups.counts[e]!;
      found[splitOf[g]!]![groups.labels[e]!]! += groups.counts[e]!;
    }
  }
  let sum = 0;
  let terms = 0;
  for (let label = 0; label < groups.labelCount; label++) {
    if (totals[label] === 0) continue;
    for (const [j, fraction] of fractions.entries()) {
      sum += Math.abs(found[j]![label]! - fraction * totals[label]!) / totals[label]!;
      terms += 1;
    }
  }
  return terms === 0 ? 0 : sum / terms;
}

/** Groups of conversations that must stay together, made from pairs (union by the smaller number, path halving). */
export class Groups {
  readonly #parent: Uint32Array;

  constructor(conversationCount: number) {
    this.#parent = new Uint32Array(conversationCount);
    for (let g = 0; g < conversationCount; g++) this.#parent[g] = g;
  }

  join(a: number, b: number): void {
    const [x, y] = [this.find(a), this.find(b)];
    if (x !== y) this.#parent[Math.max(x, y)] = Math.min(x, y);
  }

  find(g: number): number {
    const parent = this.#parent;
    let root = g;
    while (parent[root] !== root) {
      parent[root] = parent[parent[root]!]!;
      root = parent[root]!;
    }
    return root;
  }
}

/**
 * Moves to train every group that stands in more than one split, and returns what was moved. When every pair with a
 * member outside train was joined, no pair crosses splits afterwards.
 */
export function keepTogether(splitOf: Uint8Array, groups: Groups): number[] {
  const across = new Uint8Array(splitOf.length);
  for (let g = 0; g < splitOf.length; g++) {
    const root = groups.find(g);
    if (splitOf[g] !== splitOf[root]) across[root] = 1;
  }
  const moved: number[] = [];
  for (let g = 0; g < splitOf.length; g++) {
    if (across[groups.find(g)] === 0 || splitOf[g] === 0) continue;
    moved.push(g);
  }
  for (const g of moved) splitOf[g] = 0;
  return moved;
}
