/** The leak check: proves from the files on disk that no conversation stands in two splits, or says where one does. */
import type { Example } from "../../model/text/index.ts";
import { NearIndex, type Split } from "../shape/index.ts";
import { ConversationGatherer, type GatheredConversation } from "./gather.ts";
import type { LeakCounts } from "./manifest.ts";

export const NEAR_THRESHOLD = 0.8;

export interface Leak {
  readonly kind: "dialogueId" | "conversation" | "nearDuplicate";
  readonly split: Split;
  readonly dialogueId: string;
  readonly otherSplit: Split;
  readonly otherId: string;
  /** Jaccard similarity of the pairs of words, for near-duplicates. */
  readonly similarity?: number;
}

export interface LeakReport {
  readonly counts: LeakCounts;
  /** The first leaks found, at most `MAX_SHOWN` a kind. */
  readonly found: readonly Leak[];
}

const MAX_SHOWN = 20;

interface Conversation {
  readonly split: Split;
  readonly id: string;
}

/**
 * Reads validation and test into memory as sets of hashes, then streams train past them. `read` gives the examples
 * of a split; it is called once a split. Rows of one conversation may lie apart.
 */
export async function checkLeaks(
  read: (split: Split) => AsyncIterable<Example>,
  onExample?: () => void,
): Promise<LeakReport> {
  const log = new LeakLog();
  const held: Conversation[] = [];
  const sets: Uint32Array[] = [];
  const keys = new Map<number, number>();
  const ids = new Map<string, number>();
  const replies = new Map<string, number>();
  for (const split of ["validation", "test"] as const) {
    const count = (reply: string): unknown => replies.set(reply, (replies.get(reply) ?? 0) + 1);
    for await (const conversation of gathered(read(split), count, onExample)) {
      const me = { split, id: conversation.id };
      const twin = held[ids.get(me.id) ?? -1];
      if (twin === undefined) ids.set(me.id, held.length);
      else if (twin.split !== split) log.add("dialogueId", me, twin);
      const same = held[keys.get(conversation.key) ?? -1];
      if (same === undefined) keys.set(conversation.key, held.length);
      else if (same.split !== split) log.add("conversation", me, same);
      held.push(me);
      sets.push(conversation.set);
    }
  }
  const index = new NearIndex(sets, NEAR_THRESHOLD);
  for (const [position, set] of sets.entries()) {
    const me = held[position]!;
    if (me.split !== "test") continue;
    index.search(set, (other, similarity) => {
      if (held[other]!.split !== "test") log.add("nearDuplicate", me, held[other]!, similarity);
    });
  }
  const shared = new Set<string>();
  const note = (reply: string): unknown => replies.has(reply) && shared.add(reply);
  for await (const conversation of gathered(read("train"), note, onExample)) {
    const me = { split: "train", id: conversation.id } as const;
    const twin = held[ids.get(me.id) ?? -1];
    if (twin !== undefined) log.add("dialogueId", twin, me);
    const same = held[keys.get(conversation.key) ?? -1];
    if (same !== undefined) log.add("conversation", same, me);
    index.search(conversation.set, (other, similarity) =>
      log.add("nearDuplicate", held[other]!, me, similarity),
    );
  }
  let total = 0;
  let inTrain = 0;
  for (const [reply, times] of replies) {
    total += times;
    if (shared.has(reply)) inTrain += times;
  }
  const sharedReplies = total === 0 ? 0 : Math.round((inTrain / total) * 1e6) / 1e6;
  return { counts: { ...log.counts, threshold: NEAR_THRESHOLD, sharedReplies }, found: log.found };
}

/** Counts leaks: a conversation outside train counts once a kind, however many twins it has. */
class LeakLog {
  readonly counts = { dialogueId: 0, conversation: 0, nearDuplicate: 0 };
  readonly found: Leak[] = [];
  readonly #seen = new Set<string>();

  add(kind: Leak["kind"], me: Conversation, other: Conversation, similarity?: number): void {
    const name = `${kind} ${me.split} ${me.id}`;
    if (this.#seen.has(name)) return;
    this.#seen.add(name);
    this.counts[kind] += 1;
    if (this.counts[kind] > MAX_SHOWN) return;
    this.found.push({
      kind,
      split: me.split,
      dialogueId: me.id,
      otherSplit: other.split,
      otherId: other.id,
      ...(similarity === undefined ? {} : { similarity: Math.round(similarity * 1000) / 1000 }),
    });
  }
}

/** The conversations of a split, with a look at every reply that is to be learned. */
async function* gathered(
  examples: AsyncIterable<Example>,
  onReply: (reply: string) => unknown,
  onExample?: () => void,
): AsyncGenerator<GatheredConversation> {
  const gatherer = new ConversationGatherer();
  for await (const example of examples) {
    onExample?.();
    for (const { role, content, supervised } of example.messages) {
      if (role === "assistant" && supervised !== false) onReply(content.trim());
    }
    const done = gatherer.add(example);
    if (done !== undefined) yield done;
  }
  const last = gatherer.end();
  if (last !== undefined) yield last;
}
