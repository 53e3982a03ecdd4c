/** 64-bit digests of normalised text, and a table from digest to number in typed arrays. */
import type { NormalisedCodes } from "./normalise.ts";

/** Two independent 32-bit hashes. Among 1,000,000 texts a chance collision has odds of 1 in 37 million. */
export interface Digest {
  readonly high: number;
  readonly low: number;
}

/** Mixes all bits of a 32-bit word (finaliser of MurmurHash3, Appleby 2016). */
export function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** One step of a running hash. */
export function absorb(hash: number, word: number): number {
  let h = Math.imul(hash ^ word, 0x9e3779b1);
  h ^= h >>> 15;
  return Math.imul(h, 0x2c1b3c6d) ^ (h >>> 12);
}

export function digestOfCodes({ codes, length }: NormalisedCodes): Digest {
  let high = 0x243f6a88;
  let low = 0x85a308d3;
  for (let i = 0; i < length; i++) {
    const code = codes[i]!;
    high = Math.imul(high ^ code, 0x01000193);
    high ^= high >>> 15;
    low = Math.imul(low + code, 0x9e3779b1);
    low ^= low >>> 13;
  }
  return { high: mix(high ^ length), low: mix(low + length) };
}

export function digestOfDigests(parts: Iterable<Digest>): Digest {
  let high = 0x13198a2e;
  let low = 0x03707344;
  for (const part of parts) {
    high = absorb(absorb(high, part.high), part.low);
    low = absorb(absorb(low, part.low), part.high);
  }
  return { high: mix(high), low: mix(low) };
}

export interface DigestTable {
  readonly size: number;
  /** The number stored under `key`; where there is none, `value` is stored and `undefined` returned. */
  getOrPut(key: Digest, value: number): number | undefined;
  /** Adds one to the number stored under `key`, and tells so, unless it has reached `limit`. */
  incrementBelow(key: Digest, limit: number): boolean;
}

/** Open addressing; 12 bytes a slot, at most 60 % full. Values are below 2³². */
export function digestTable(): DigestTable {
  let capacity = 1_024;
  let highs = new Uint32Array(capacity);
  let lows = new Uint32Array(capacity);
  let values = new Uint32Array(capacity);
  let size = 0;

  /** The slot that holds the key, or the free one where it belongs. A slot with high 0 is free. */
  const slotOf = (high: number, low: number): number => {
    let slot = (low ^ (high << 7)) & (capacity - 1);
    while (highs[slot] !== 0 && (highs[slot] !== high || lows[slot] !== low))
      slot = (slot + 1) & (capacity - 1);
    return slot;
  };
  const grow = (): void => {
    const [oldHighs, oldLows, oldValues] = [highs, lows, values];
    capacity *= 2;
    highs = new Uint32Array(capacity);
    lows = new Uint32Array(capacity);
    values = new Uint32Array(capacity);
    for (let i = 0; i < oldHighs.length; i++) {
      if (oldHighs[i] === 0) continue;
      const slot = slotOf(oldHighs[i]!, oldLows[i]!);
      highs[slot] = oldHighs[i]!;
      lows[slot] = oldLows[i]!;
      values[slot] = oldValues[i]!;
    }
  };
  const slotFor = (key: Digest): { slot: number; found: boolean } => {
    if (size > capacity * 0.6) grow();
    const high = key.high === 0 ? 1 : key.high;
    const slot = slotOf(high, key.low);
    const found = highs[slot] !== 0;
    if (!found) {
      highs[slot] = high;
      lows[slot] = key.low;
      size += 1;
    }
    return { slot, found };
  };

  return {
    get size() {
      return size;
    },
    getOrPut(key, value) {
      const { slot, found } = slotFor(key);
      if (found) return values[slot]!;
      values[slot] = value;
      return undefined;
    },
    incrementBelow(key, limit) {
      const { slot } = slotFor(key);
      if (values[slot]! >= limit) return false;
      values[slot]! += 1;
      return true;
    },
  };
}
