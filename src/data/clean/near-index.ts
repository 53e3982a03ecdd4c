/** An index of fingerprints for near duplicates: banded MinHash finds candidates, sketches verify them. */
import { absorb, mix } from "./digest.ts";
import { BANDS, type Fingerprint, ROWS, jaccard } from "./minhash.ts";

export interface NearMatch {
  /** Ordinal of the earlier record. */
  readonly ordinal: number;
  readonly jaccard: number;
}

export interface Probe extends Fingerprint {
  /** Records of one group never match one another. */
  readonly group: number;
  /** 64 bits of the replies' own signature: a first, cheap look at whether they agree. */
  readonly replyBits: readonly [number, number];
}

export interface NearIndex {
  readonly size: number;
  /** Searches whose candidates were cut at the limit. */
  readonly cut: number;
  find(probe: Probe): NearMatch | undefined;
  /** Every match, for comparisons with other implementations. */
  findAll(probe: Probe): readonly NearMatch[];
  /** Files the fingerprint under the next ordinal. */
  add(probe: Probe): void;
}

/** Candidates verified in one search. Templates put thousands of texts of Jaccard 0.7 into one bucket. */
const MAX_CANDIDATES = 256;
/** Links followed in one bucket: a common key must not slow down searches for its neighbours in the bucket. */
const MAX_STEPS = 4_096;
/** Records a chunk of the arrays holds. */
const CHUNK = 1 << 16;
/** Words a chunk of the sketch store holds. */
const STORE = 1 << 20;
/** Replies whose agreeing bits say less than (threshold − this) do not agree: more than two standard errors. */
const REPLY_SLACK = 0.25;

/**
 * Memory for one record: bands × 8 bytes of chains, about bands × 4 of heads, 4 a kept shingle hash, 26 of
 * facts: with an average of 80 shingles about 520 bytes.
 */
export function nearIndex(threshold: number): NearIndex {
  let size = 0;
  let cut = 0;
  let buckets = 1 << 12;
  let heads = emptyHeads(buckets);
  const keys: Uint32Array[] = [];
  const nexts: Int32Array[] = [];
  const facts: Facts[] = [];
  const store: Int32Array[] = [];
  let stored = 0;
  let stamp = 0;
  const probeKeys = new Uint32Array(BANDS);

  const setKeys = (signature: readonly number[]): void => {
    for (let band = 0; band < BANDS; band++) {
      let hash = 0x3c6ef372 + band;
      for (let row = 0; row < ROWS; row++) hash = absorb(hash, signature[band * ROWS + row]!);
      probeKeys[band] = mix(hash);
    }
  };
  const link = (ordinal: number): void => {
    const chunk = ordinal >>> 16;
    const base = (ordinal & (CHUNK - 1)) * BANDS;
    for (let band = 0; band < BANDS; band++) {
      const head = heads[band]!;
      const bucket = keys[chunk]![base + band]! & (buckets - 1);
      nexts[chunk]![base + band] = head[bucket]!;
      head[bucket] = ordinal;
    }
  };
  const verify = (probe: Probe, ordinal: number): number => {
    const chunk = facts[ordinal >>> 16]!;
    const at = ordinal & (CHUNK - 1);
    if (chunk.stamps[at] === stamp) return 0;
    chunk.stamps[at] = stamp;
    if (chunk.groups[at] === probe.group) return 0;
    const differing =
      ones(chunk.bitsA[at]! ^ probe.replyBits[0]) + ones(chunk.bitsB[at]! ^ probe.replyBits[1]);
    if (1 - differing / 32 < threshold - REPLY_SLACK) return 0;
    const length = chunk.lengths[at]!;
    const own = probe.sketch.length;
    if (Math.min(length, own) < threshold * Math.max(length, own)) return 0;
    const offset = chunk.offsets[at]!;
    return jaccard(probe.sketch, own, store[Math.floor(offset / STORE)]!, offset % STORE, length);
  };
  /** Calls `found` for matches until it returns true. */
  const search = (probe: Probe, limit: number, found: (match: NearMatch) => boolean): void => {
    setKeys(probe.signature);
    stamp += 1;
    let looked = 0;
    for (let band = 0; band < BANDS; band++) {
      const key = probeKeys[band]!;
      let steps = 0;
      for (let ordinal = heads[band]![key & (buckets - 1)]!; ordinal >= 0 && steps < MAX_STEPS; steps++) {
        const chunk = ordinal >>> 16;
        const place = (ordinal & (CHUNK - 1)) * BANDS + band;
        if (keys[chunk]![place] === key) {
          const similarity = verify(probe, ordinal);
          if (similarity >= threshold && found({ ordinal, jaccard: similarity })) return;
          looked += 1;
          if (looked >= limit) {
            cut += 1;
            return;
          }
        }
        ordinal = nexts[chunk]![place]!;
      }
    }
  };

  return {
    get size() {
      return size;
    },
    get cut() {
      return cut;
    },
    find(probe) {
      let first: NearMatch | undefined;
      search(probe, MAX_CANDIDATES, (match) => {
        first = match;
        return true;
      });
      return first;
    },
    findAll(probe) {
      const matches: NearMatch[] = [];
      search(probe, Number.POSITIVE_INFINITY, (match) => {
        matches.push(match);
        return false;
      });
      return matches;
    },
    add(probe) {
      if (size % CHUNK === 0) {
        keys.push(new Uint32Array(CHUNK * BANDS));
        nexts.push(new Int32Array(CHUNK * BANDS));
        facts.push(newFacts());
      }
      const { sketch } = probe;
      if ((stored % STORE) + sketch.length > STORE || stored === store.length * STORE) {
        stored = store.length * STORE;
        store.push(new Int32Array(STORE));
      }
      store[store.length - 1]!.set(sketch, stored % STORE);
      const chunk = facts[size >>> 16]!;
      const at = size & (CHUNK - 1);
      chunk.groups[at] = probe.group;
      chunk.bitsA[at] = probe.replyBits[0];
      chunk.bitsB[at] = probe.replyBits[1];
      chunk.lengths[at] = sketch.length;
      chunk.offsets[at] = stored;
      stored += sketch.length;
      setKeys(probe.signature);
      keys[size >>> 16]!.set(probeKeys, at * BANDS);
      if (size >= buckets) {
        buckets *= 4;
        heads = emptyHeads(buckets);
        for (let ordinal = 0; ordinal < size; ordinal++) link(ordinal);
      }
      link(size);
      size += 1;
    },
  };
}

interface Facts {
  readonly groups: Uint32Array;
  readonly bitsA: Uint32Array;
  readonly bitsB: Uint32Array;
  readonly lengths: Uint16Array;
  /** Where the sketch begins in the store. */
  readonly offsets: Uint32Array;
  /** The last search that looked at the record. */
  readonly stamps: Uint32Array;
}

function newFacts(): Facts {
  return {
    groups: new Uint32Array(CHUNK),
    bitsA: new Uint32Array(CHUNK),
    bitsB: new Uint32Array(CHUNK),
    lengths: new Uint16Array(CHUNK),
    offsets: new Uint32Array(CHUNK),
    stamps: new Uint32Array(CHUNK),
  };
}

function emptyHeads(buckets: number): readonly Int32Array[] {
  return Array.from({ length: BANDS }, () => new Int32Array(buckets).fill(-1));
}

/** Set bits of a 32-bit word. */
function ones(word: number): number {
  let w = word - ((word >>> 1) & 0x55555555);
  w = (w & 0x33333333) + ((w >>> 2) & 0x33333333);
  return Math.imul((w + (w >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
