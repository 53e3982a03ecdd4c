/** Rule: a record that says nearly what an earlier dialogue says is dropped (MinHash, verified by Jaccard). */
import { z } from "zod";
import type { DialogueRecord } from "../record.ts";
import { type ClusterReport, clusterBook, placeText } from "./clusters.ts";
import { textDigests } from "./digest.ts";
import { isSupervised, remember, wholeMessage } from "./messages.ts";
import { type Fingerprint, PERMUTATIONS, SKETCH, dropRepeats, fingerprinter } from "./minhash.ts";
import { type Probe, nearIndex } from "./near-index.ts";
import { type RuleDefinition, rejected } from "./rule.ts";

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

const SALTS = { system: 0x11, user: 0x22, assistant: 0x33, tool: 0x44 } as const;

export const nearDuplicates: RuleDefinition<NearDuplicatesOptions> = {
  name: "near-duplicate",
  summary: "Of records that say nearly the same the first is kept; rows of one dialogue never count as such.",
  scope: "corpus",
  options: NearDuplicatesOptions,
  start(options) {
    const probeOf = prober(options);
    const index = nearIndex(options.threshold);
    const book = clusterBook();
    return {
      apply(record, notes) {
        const probe = probeOf(record);
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

/** Fingerprints a record; `undefined` where there is no word in it. Message fingerprints are remembered. */
export function prober(
  options: Pick<NearDuplicatesOptions, "shingle" | "compare">,
): (record: DialogueRecord) => Probe | undefined {
  const fingerprints = {
    system: remember(fingerprinter(options.shingle, SALTS.system), 256),
    user: remember(fingerprinter(options.shingle, SALTS.user)),
    assistant: remember(fingerprinter(options.shingle, SALTS.assistant)),
    tool: remember(fingerprinter(options.shingle, SALTS.tool), 256),
  };
  const digestOf = textDigests();
  const signature = new Uint32Array(PERMUTATIONS);
  const replySignature = new Uint32Array(PERMUTATIONS);
  return (record) => {
    signature.fill(0xffffffff);
    replySignature.fill(0xffffffff);
    const sketches: Uint32Array[] = [];
    for (const message of record.messages) {
      const supervised = isSupervised(message);
      if (options.compare === "reply" && !supervised) continue;
      const made: Fingerprint = fingerprints[message.role](message.content);
      if (made.sketch.length === 0) continue;
      sketches.push(made.sketch);
      lower(signature, made.signature);
      if (supervised) lower(replySignature, made.signature);
    }
    if (sketches.length === 0) return undefined;
    return {
      signature,
      sketch: union(sketches),
      group: digestOf(record.dialogueId).low,
      replyBits: [bits(replySignature, 0), bits(replySignature, 32)],
    };
  };
}

function lower(into: Uint32Array, from: Uint32Array): void {
  for (let i = 0; i < PERMUTATIONS; i++) if (from[i]! < into[i]!) into[i] = from[i]!;
}

/** The smallest distinct hashes of all sketches together. */
function union(sketches: readonly Uint32Array[]): Uint32Array {
  if (sketches.length === 1) return sketches[0]!;
  let total = 0;
  for (const sketch of sketches) total += sketch.length;
  const all = new Uint32Array(total);
  let at = 0;
  for (const sketch of sketches) {
    all.set(sketch, at);
    at += sketch.length;
  }
  all.sort();
  return all.slice(0, Math.min(dropRepeats(all), SKETCH));
}

/** One bit each of 32 signature values (b-bit minwise hashing, Li and König 2010). */
function bits(signature: Uint32Array, from: number): number {
  let word = 0;
  for (let i = 0; i < 32; i++) word = (word << 1) | (Math.imul(signature[from + i]!, 0x9e3779b1) >>> 31);
  return word >>> 0;
}
