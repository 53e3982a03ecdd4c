/** Rule: a record that says nearly what an earlier dialogue says is dropped (MinHash, verified by Jaccard). */
import { z } from "zod";
import type { DialogueRecord } from "../record.ts";
import { type ClusterReport, clusterBook, placeText } from "./clusters.ts";
import { absorb, mix } from "./digest.ts";
import { isSupervised, wholeMessage } from "./messages.ts";
import { NO_VALUE, PERMUTATIONS, SKETCH, fingerprinter } from "./minhash.ts";
import { type Probe, nearIndex } from "./near-index.ts";
import { type RuleDefinition, rejected } from "./rule.ts";
import type { TextEntry, Texts } from "./texts.ts";

export const NearDuplicatesOptions = z.strictObject({
  enabled: z.boolean().default(true),
  threshold: z
    .number()
    .min(0.5)
    .max(1)
    .default(0.8)
    .describe("Jaccard index of the shingle sets from which two records are near duplicates."),
  shingle: z
    .int()
    .min(1)
    .max(10)
    .default(2)
    .describe("Neighbouring words, or Chinese characters, of a shingle."),
  compare: z
    .enum(["example", "reply"])
    .default("example")
    .describe(
      "example: the replies and their whole history, and the replies must agree too. reply: the replies alone.",
    ),
});
export type NearDuplicatesOptions = z.infer<typeof NearDuplicatesOptions>;

export interface NearDuplicatesDetails extends ClusterReport {
  readonly threshold: number;
  /** Searches in which so many records looked alike that not all were compared. */
  readonly cutSearches: number;
}

export const nearDuplicates: RuleDefinition<NearDuplicatesOptions> = {
  name: "near-duplicate",
  summary: "Of records that say nearly the same the first is kept; rows of one dialogue never count as such.",
  scope: "corpus",
  options: NearDuplicatesOptions,
  start(options, _, texts) {
    const probeOf = prober(options, texts);
    const index = nearIndex(options.threshold);
    const book = clusterBook();
    return {
      apply(record, notes, entries) {
        const probe = probeOf(record, entries);
        if (probe === undefined) return record;
        const match = index.find(probe);
        if (match === undefined) {
          index.add(probe);
          book.keep(record);
          return record;
        }
        notes.count("similar-text", record, () =>
          wholeMessage(record, record.messages.findLastIndex(isSupervised)),
        );
        book.add(match.ordinal, record);
        const likeness = `${Math.floor(match.jaccard * 100)} %`;
        return rejected(
          "similar-text",
          `${likeness} of the text stands in ${placeText(book.place(match.ordinal))}`,
        );
      },
      details(): NearDuplicatesDetails {
        return { threshold: options.threshold, cutSearches: index.cut, ...book.report() };
      },
    };
  },
};

/** Fingerprints records: the union of their messages' shingles; `undefined` where there is no word in a record. */
export function prober(
  options: Pick<NearDuplicatesOptions, "shingle" | "compare">,
  texts: Texts,
): (record: DialogueRecord, entries: readonly TextEntry[]) => Probe | undefined {
  const fingerprintOf = texts.normalisedSlot(fingerprinter(options.shingle));
  const signature: number[] = [];
  const replySignature: number[] = [];
  return (record, entries) => {
    for (let i = 0; i < PERMUTATIONS; i++) signature[i] = replySignature[i] = NO_VALUE;
    let sketch: readonly number[] = [];
    for (let index = 0; index < record.messages.length; index++) {
      const supervised = isSupervised(record.messages[index]!);
      if (options.compare === "reply" && !supervised) continue;
      const made = fingerprintOf(entries[index]!);
      if (made.sketch.length === 0) continue;
      sketch = union(sketch, made.sketch);
      lower(signature, made.signature);
      if (supervised) lower(replySignature, made.signature);
    }
    if (sketch.length === 0) return undefined;
    return {
      signature,
      sketch,
      group: groupOf(record.dialogueId),
      replyBits: [bits(replySignature, 0), bits(replySignature, 32)],
    };
  };
}

function lower(into: number[], from: readonly number[]): void {
  for (let i = 0; i < PERMUTATIONS; i++) if (from[i]! < into[i]!) into[i] = from[i]!;
}

/** The smallest distinct hashes of two sketches together. */
function union(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length === 0) return b;
  const made: number[] = [];
  let i = 0;
  let j = 0;
  while (made.length < SKETCH && (i < a.length || j < b.length)) {
    const x = i < a.length ? a[i]! : Number.POSITIVE_INFINITY;
    const y = j < b.length ? b[j]! : Number.POSITIVE_INFINITY;
    if (x <= y) i += 1;
    if (y <= x) j += 1;
    made.push(x < y ? x : y);
  }
  return made;
}

function groupOf(dialogueId: string): number {
  let hash = 0;
  for (let i = 0; i < dialogueId.length; i++) hash = absorb(hash, dialogueId.charCodeAt(i));
  return mix(hash);
}

/** One bit each of 32 signature values (b-bit minwise hashing, Li and König 2010). */
function bits(signature: readonly number[], from: number): number {
  let word = 0;
  for (let i = 0; i < 32; i++) word = (word << 1) | (Math.imul(signature[from + i]!, 0x9e3779b1) >>> 31);
  return word >>> 0;
}
