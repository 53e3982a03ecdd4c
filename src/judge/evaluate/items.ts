/** Examples → the replies to be judged: one item a prompt, with its references, its depth and its other slices. */
import { createHash } from "node:crypto";
import type { Example, Message } from "../../model/text/index.ts";
import { random } from "../../util/index.ts";
import { bleuTokenizers, isMostlyCjk } from "../metrics/index.ts";

/** One prompt that every system answers. */
export interface EvaluationItem {
  /** Equal in every system's predictions; dialogue and number of the reply in it. */
  readonly id: string;
  readonly dialogueId: string;
  /** The messages before the reply. */
  readonly context: readonly Message[];
  /** What the data answer here; more than one where the same history has several answers. */
  readonly references: readonly string[];
  readonly intent?: string;
  /** User turns up to this reply, from 1. */
  readonly depth: number;
  /** The first reference stands word for word among the training replies. */
  readonly seen: boolean;
}

/** Every supervised reply as an item, in the order of the data; rows that repeat one another are one item. */
export function evaluationItems(
  examples: Iterable<Example>,
  trainingReplies: ReadonlySet<string> = new Set(),
): EvaluationItem[] {
  const items = new Map<string, EvaluationItem & { references: string[] }>();
  const ids = new Map<string, number>();
  for (const { dialogueId, messages, intent } of examples) {
    for (const [index, message] of messages.entries()) {
      if (message.role !== "assistant" || message.supervised === false || index === 0) continue;
      const reference = message.content;
      if (reference.trim() === "") continue;
      const context = messages.slice(0, index).map(({ role, content }) => ({ role, content }));
      const key = contextKey(dialogueId, context);
      const known = items.get(key);
      if (known !== undefined) {
        if (!known.references.includes(reference)) known.references.push(reference);
        continue;
      }
      const depth = Math.max(
        1,
        context.filter(({ role }, i) => role === "user" && context[i - 1]?.role !== "user").length,
      );
      const replies = context.filter(({ role }) => role === "assistant").length;
      const name = `${dialogueId}#${replies + 1}`;
      const same = (ids.get(name) ?? 0) + 1;
      ids.set(name, same);
      items.set(key, {
        id: same === 1 ? name : `${name}~${same}`,
        dialogueId,
        context,
        references: [reference],
        ...(intent === undefined ? {} : { intent }),
        depth,
        seen: trainingReplies.has(normalReply(reference)),
      });
    }
  }
  return [...items.values()];
}

/** The replies that training data supervise, for `seen`. */
export function repliesOf(examples: Iterable<Example>): Set<string> {
  const replies = new Set<string>();
  for (const { messages } of examples) {
    for (const { role, content, supervised } of messages)
      if (role === "assistant" && supervised !== false) replies.add(normalReply(content));
  }
  return replies;
}

export const normalReply = (reply: string): string => reply.trim().replaceAll(/\s+/g, " ");

/** At most `limit` items, drawn by the seed and given back in their order: the same draw for every system. */
export function sampleItems(
  items: readonly EvaluationItem[],
  limit: number | undefined,
  seed: number,
): readonly EvaluationItem[] {
  if (limit === undefined || items.length <= limit) return items;
  const order = random(seed, "evaluation sample")
    .shuffle([...items.keys()])
    .slice(0, limit);
  return order.sort((a, b) => a - b).map((index) => items[index]!);
}

/** Hex SHA-256 over what a system is asked: equal when old predictions may be kept. */
export function contextKey(dialogueId: string, context: readonly Message[]): string {
  const turns = context.map(({ role, content }) => [role, content]);
  return createHash("sha256")
    .update(JSON.stringify([dialogueId, turns]))
    .digest("hex");
}

export const depthGroups = ["1–2", "3–5", "6+"] as const;

/** The seed's classes of long dialogues: a small model is expected to fail beyond five turns. */
export function depthGroup(depth: number): (typeof depthGroups)[number] {
  return depth <= 2 ? "1–2" : depth <= 5 ? "3–5" : "6+";
}

export const lengthGroups = ["1–10", "11–20", "21–40", "41+"] as const;

/** By tokens of BLEU's `zh` tokeniser: words, or characters where they are Chinese. */
export function lengthGroup(reference: string): (typeof lengthGroups)[number] {
  const length = bleuTokenizers.zh(reference).length;
  return length <= 10 ? "1–10" : length <= 20 ? "11–20" : length <= 40 ? "21–40" : "41+";
}

export function scriptOf(text: string): "cjk" | "other" {
  return isMostlyCjk([text]) ? "cjk" : "other";
}
