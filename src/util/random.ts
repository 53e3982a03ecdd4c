/** Deterministic random numbers: the same seed and purpose give the same stream on every machine. */
import { createHash } from "node:crypto";

export interface Random {
  /** Uniform in [0, 1) with 53 bits. */
  next(): number;
  /** Uniform integer in [0, bound). */
  integer(bound: number): number;
  /** Standard normal deviate (Box–Muller). */
  normal(): number;
  /** A shuffled copy (Fisher–Yates). */
  shuffle<T>(items: readonly T[]): T[];
  pick<T>(items: readonly T[]): T;
  /** The whole state as text, for a checkpoint. */
  state(): string;
}

/**
 * xoshiro128** seeded from SHA-256 of `seed` and `purpose`, so that streams for different purposes
 * are independent and adding one does not shift another. Source: Blackman and Vigna, 2018.
 */
export function random(seed: number, purpose: string): Random {
  const digest = createHash("sha256").update(`${seed}\u0000${purpose}`).digest();
  return fromWords([0, 4, 8, 12].map((offset) => digest.readUInt32LE(offset)));
}

/** Goes on where `state()` was taken. */
export function randomFromState(state: string): Random {
  const words = state.split(".").map((word) => Number.parseInt(word, 16));
  if (words.length !== 4 || words.some((word) => !Number.isInteger(word))) {
    throw new Error(`not a random state: ${JSON.stringify(state.slice(0, 80))}`);
  }
  return fromWords(words);
}

function fromWords(words: readonly number[]): Random {
  let [a, b, c, d] = words.map((word) => word | 0) as [number, number, number, number];
  const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
  const word = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11);
    return result >>> 0;
  };
  const self: Random = {
    next: () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992,
    integer: (bound) => Math.floor(self.next() * bound),
    normal: () => Math.sqrt(-2 * Math.log(1 - self.next())) * Math.cos(2 * Math.PI * self.next()),
    shuffle: (items) => {
      const copy = [...items];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = self.integer(i + 1);
        [copy[i], copy[j]] = [copy[j]!, copy[i]!];
      }
      return copy;
    },
    pick: (items) => {
      if (items.length === 0) throw new Error("cannot pick from an empty list");
      return items[self.integer(items.length)]!;
    },
    state: () => [a, b, c, d].map((x) => (x >>> 0).toString(16)).join("."),
  };
  return self;
}
