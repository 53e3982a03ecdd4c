/** The shaping steps in their order, on columns: split, near-duplicates together, mix, balance, long dialogues. */
import {
  type BalanceReport,
  type Copies,
  type LongReport,
  type MixReport,
  SPLITS,
  balance,
  countByClass,
  groupLabels,
  keepTogether,
  largestShare,
  mixSources,
  raiseLongShare,
  splitConversations,
  stratificationError,
} from "../shape/index.ts";
import type { DataConfig } from "./config.ts";
import { HeldOut } from "./held-out.ts";
import type { Intake } from "./intake.ts";
import type { Spool } from "./spool.ts";

/** Why a row that passed cleaning is in no split; the first stands for rows that are in one. */
export const LEFT_OUT = ["", "intent-balance", "source-mix", "cross-split-duplicate"] as const;
export type LeftOut = Exclude<(typeof LEFT_OUT)[number], "">;

export interface ShapedRows {
  /** Index into `SPLITS` of each conversation. */
  readonly splitOf: Uint8Array;
  /** How often each row is written; 0 leaves it out. */
  readonly copies: Copies;
  /** Index into `LEFT_OUT` of each row. */
  readonly leftOut: Uint8Array;
  /** Loss weight of each intent, where weights balance. */
  readonly weights: readonly number[] | undefined;
  readonly trainIntentsBefore: readonly number[];
  readonly trainIntentsAfter: readonly number[];
  readonly maxIntentShare: number;
  readonly balance: BalanceReport;
  readonly long: LongReport;
  readonly mix: MixReport | undefined;
  readonly stratificationError: number;
  readonly singleIntents: readonly string[];
  readonly nearDuplicatesMoved: number;
  readonly splitNotes: readonly string[];
}

export interface ShapeInputs {
  readonly intake: Intake;
  readonly rows: Spool;
  readonly shingles: Spool;
  readonly sourceNames: readonly string[];
  readonly sourceWeights: readonly (number | undefined)[];
  readonly onPiece: () => void;
}

export async function shapeRows(inputs: ShapeInputs, config: DataConfig): Promise<ShapedRows> {
  const { intake, rows, shingles } = inputs;
  const { seed, shape } = config;
  const columns = intake.columns();
  const conversationCount = intake.conversations.list.length;
  const intentNames = intake.intents.list;
  const groups = groupLabels(
    intake.labelConversations.view(),
    intake.labels.view(),
    conversationCount,
    intentNames.length,
  );
  const dealt = splitConversations(groups, { fractions: shape.split, seed });
  const { splitOf } = dealt;
  const heldOut = await HeldOut.compare(intake, shingles, splitOf, inputs.onPiece);
  const moved = keepTogether(splitOf, heldOut.groups);
  const fractions = SPLITS.map((split) => shape.split[split]);

  const inTrain = Uint16Array.from(columns.conversation, (conversation) =>
    splitOf[conversation] === 0 ? 1 : 0,
  );
  const mixed = mixSources(columns, inTrain, inputs.sourceNames, {
    weights: inputs.sourceWeights,
    by: shape.mix,
    maxCopies: shape.maxCopies,
    seed,
  });
  const mixCopies = mixed?.copies ?? inTrain;
  const trainIntentsBefore = countByClass(columns.intent, mixCopies, intentNames.length);
  const options = { ...shape.balance, seed };
  const balanced = balance(columns, mixCopies, intentNames, options);
  const raised = raiseLongShare(columns, balanced.copies, intentNames.length, {
    overTurns: shape.long.overTurns,
    share: shape.long.share,
    maxCopies: shape.maxCopies,
    // Weights are set after the copies, so they need no limit here.
    maxIntentShare:
      shape.balance.method === "off" || balanced.weights !== undefined ? 1 : shape.balance.maxShare,
    seed,
  });
  const weighted =
    balanced.weights === undefined || raised.report.added === 0
      ? balanced
      : balance(columns, raised.copies, intentNames, { ...options, method: "weight" });
  const trainIntentsAfter = countByClass(columns.intent, raised.copies, intentNames.length);

  const leftOut = new Uint8Array(columns.intent.length);
  const copies = raised.copies.slice();
  for (let row = 0; row < copies.length; row++) {
    if (splitOf[columns.conversation[row]!] !== 0) copies[row] = 1;
    else if (copies[row] === 0)
      leftOut[row] = LEFT_OUT.indexOf(mixCopies[row] === 0 ? "source-mix" : "intent-balance");
  }
  const twins = await likeShortened(heldOut, rows, columns.conversation, splitOf, copies);
  for (let row = 0; row < copies.length && twins.size > 0; row++) {
    if (!twins.has(columns.conversation[row]!)) continue;
    copies[row] = 0;
    leftOut[row] = LEFT_OUT.indexOf("cross-split-duplicate");
  }
  return {
    splitOf,
    copies,
    leftOut,
    weights: weighted.weights,
    trainIntentsBefore,
    trainIntentsAfter,
    maxIntentShare: largestShare(trainIntentsAfter.map((count, k) => count * (weighted.weights?.[k] ?? 1))),
    balance: { ...weighted.report, shareBefore: balanced.report.shareBefore, notes: balanced.report.notes },
    long: raised.report,
    mix: mixed?.report,
    stratificationError: stratificationError(groups, splitOf, fractions),
    singleIntents: dealt.singleLabels.map((label) => intentNames[label]!),
    nearDuplicatesMoved: moved.length,
    splitNotes: dealt.notes,
  };
}

/** Looks again at conversations of train that lost some but not all of their rows. */
async function likeShortened(
  heldOut: HeldOut,
  rows: Spool,
  conversations: Uint32Array,
  splitOf: Uint8Array,
  copies: Copies,
): Promise<ReadonlySet<number>> {
  const lost = new Uint8Array(splitOf.length);
  const kept = new Uint8Array(splitOf.length);
  for (let row = 0; row < copies.length; row++) {
    (copies[row] === 0 ? lost : kept)[conversations[row]!] = 1;
  }
  const shortened: number[] = [];
  for (const row of conversationOrder(conversations)) {
    const conversation = conversations[row]!;
    if (lost[conversation] === 1 && kept[conversation] === 1 && copies[row]! > 0) shortened.push(row);
  }
  return heldOut.likeShortened(rows, Uint32Array.from(shortened), splitOf);
}

/** Rows so that those of one conversation stand together, conversations by first appearance. */
export function conversationOrder(conversations: Uint32Array): Uint32Array {
  let count = 0;
  for (const conversation of conversations) count = Math.max(count, conversation + 1);
  const starts = new Uint32Array(count + 1);
  for (const conversation of conversations) starts[conversation + 1]! += 1;
  for (let c = 0; c < count; c++) starts[c + 1]! += starts[c]!;
  const order = new Uint32Array(conversations.length);
  for (let row = 0; row < conversations.length; row++) {
    const c = conversations[row]!;
    order[starts[c]!] = row;
    starts[c]! += 1;
  }
  return order;
}
