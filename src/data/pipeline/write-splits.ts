/** The rows from the spool into train, validation and test, and what was left out into the rejected rows. */
import { join } from "node:path";
import { LineWriter, type SplitSection, lineWithWeight, splitFile } from "../dataset/index.ts";
import type { Rejection } from "../record.ts";
import { SPLITS, type Split } from "../shape/index.ts";
import type { Intake } from "./intake.ts";
import { LEFT_OUT, type LeftOut, type ShapedRows, conversationOrder } from "./shape-rows.ts";
import type { Spool } from "./spool.ts";

const EXCERPT_CHARACTERS = 2000;

const REASONS: { readonly [K in LeftOut]: string } = {
  "intent-balance": "left out of train so that no intent has more than its share",
  "source-mix": "left out of train so that its source has the share it was given",
  "cross-split-duplicate":
    "like a conversation of train after that one lost rows, so it would measure what was learned by heart",
};

export interface WriteInputs {
  readonly folder: string;
  readonly rows: Spool;
  readonly intake: Intake;
  readonly shaped: ShapedRows;
  readonly reject: (rejection: Rejection) => Promise<void> | undefined;
  readonly onRow: () => void;
}

export async function writeSplits(inputs: WriteInputs): Promise<{ readonly [S in Split]: SplitSection }> {
  const { intake, shaped } = inputs;
  const { conversation, intent } = intake.columns();
  const order = conversationOrder(conversation);
  const writers: LineWriter[] = [];
  const tallies = SPLITS.map(() => ({
    examples: 0,
    replies: 0,
    intents: new Map<number, number>(),
    conversations: 0,
  }));
  const seen = new Uint8Array(intake.conversations.list.length);
  try {
    for (const split of SPLITS) {
      writers.push(await LineWriter.create(join(inputs.folder, splitFile(split))));
    }
    let position = 0;
    for await (const bytes of inputs.rows.read(order)) {
      const row = order[position++]!;
      inputs.onRow();
      const why = LEFT_OUT[shaped.leftOut[row]!]!;
      if (why !== "") {
        const excerpt = bytes.toString("utf8").slice(0, EXCERPT_CHARACTERS);
        await inputs.reject({ source: intake.place(row), rule: why, reason: REASONS[why], excerpt });
        continue;
      }
      const split = shaped.splitOf[conversation[row]!]!;
      const times = shaped.copies[row]!;
      const weight = split === 0 ? (shaped.weights?.[intent[row]!] ?? 1) : 1;
      const line = weight === 1 ? bytes : lineWithWeight(bytes.toString("utf8"), weight);
      for (let copy = 0; copy < times; copy++) {
        const due = writers[split]!.write(line);
        if (due !== undefined) await due;
      }
      const tally = tallies[split]!;
      tally.examples += times;
      tally.replies += times * intake.replies.at(row);
      tally.intents.set(intent[row]!, (tally.intents.get(intent[row]!) ?? 0) + times);
      if (seen[conversation[row]!] === 0) tally.conversations += 1;
      seen[conversation[row]!] = 1;
    }
    const sections: [Split, SplitSection][] = [];
    for (const [j, split] of SPLITS.entries()) {
      const { lines, bytes, sha256 } = await writers[j]!.finish();
      const { examples, replies, conversations, intents } = tallies[j]!;
      if (lines !== examples)
        throw new Error(`${split}: ${examples} examples counted, ${lines} lines written`);
      sections.push([
        split,
        {
          file: splitFile(split),
          sha256,
          bytes,
          examples,
          conversations,
          replies,
          intents: namedCounts([...intents], intake.intents.list),
        },
      ]);
    }
    return Object.fromEntries(sections) as { readonly [S in Split]: SplitSection };
  } catch (error) {
    await Promise.all(writers.map((writer) => writer.abandon()));
    throw error;
  }
}

/** Counts under their names, most frequent first. */
export function namedCounts(
  counts: readonly (readonly [id: number, count: number])[],
  names: readonly string[],
): Record<string, number> {
  const present = counts.filter(([, count]) => count > 0);
  present.sort((a, b) => b[1] - a[1] || (names[a[0]]! < names[b[0]]! ? -1 : 1));
  // Null prototype: an intent may be called "__proto__".
  const named: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const [id, count] of present) named[names[id]!] = count;
  return named;
}
