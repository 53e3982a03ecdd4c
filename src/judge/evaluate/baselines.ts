/** Two systems without a model, which a tuned model has to beat: the nearest training reply, and the most frequent one. */
import MiniSearch from "minisearch";
import type { Example, Message } from "../../model/text/index.ts";
import { bleuTokenizers } from "../metrics/index.ts";
import { normalReply } from "./items.ts";

/** Answers a conversation from what training holds. */
export type Lookup = (context: readonly Message[]) => string;

// The nearest context counts by what was said last; older turns say what it is about.
const olderTurns = 2;
// Beyond it the index takes more memory than a small model; a sample retrieves nearly as well.
const mostReplies = 200_000;

interface Entry {
  readonly id: number;
  readonly last: string;
  readonly older: string;
}

/** The reply of the training context that BM25 (minisearch: k1 1.2, b 0.7) ranks first; the last user turn counts threefold. */
export function retrievalBaseline(training: Iterable<Example>): Lookup {
  const index = new MiniSearch<Entry>({
    fields: ["last", "older"],
    tokenize: (text) => bleuTokenizers.zh(text.toLowerCase()),
    processTerm: (term) => (/[\p{L}\p{N}]/u.test(term) ? term : null),
    searchOptions: { boost: { last: 3 }, combineWith: "OR" },
  });
  const replies: string[] = [];
  const seen = new Set<string>();
  for (const { messages } of training) {
    for (const [at, { role, content, supervised }] of messages.entries()) {
      if (role !== "assistant" || supervised === false || at === 0 || replies.length >= mostReplies) continue;
      const query = queryOf(messages.slice(0, at));
      const key = JSON.stringify([query.last, query.older, content]);
      if (seen.has(key)) continue;
      seen.add(key);
      index.add({ id: replies.length, ...query });
      replies.push(content);
    }
  }
  const frequent = mostFrequent(replies);
  return (context) => {
    const { last, older } = queryOf(context);
    const [best] = index.search(`${last} ${older}`);
    return best === undefined ? frequent : replies[best.id as number]!;
  };
}

function queryOf(context: readonly Message[]): { last: string; older: string } {
  const turns = context.filter(({ role }) => role !== "system").map(({ content }) => content);
  return { last: turns.at(-1) ?? "", older: turns.slice(-1 - olderTurns, -1).join(" ") };
}

/** The reply that training holds most often, whatever was asked; the earlier one of two equally frequent. */
export function frequentBaseline(training: Iterable<Example>): Lookup {
  const replies: string[] = [];
  for (const { messages } of training) {
    for (const { role, content, supervised } of messages)
      if (role === "assistant" && supervised !== false) replies.push(content);
  }
  const reply = mostFrequent(replies);
  return () => reply;
}

function mostFrequent(replies: readonly string[]): string {
  const counts = new Map<string, { count: number; readonly text: string }>();
  for (const text of replies) {
    const key = normalReply(text);
    const known = counts.get(key);
    if (known === undefined) counts.set(key, { count: 1, text });
    else known.count += 1;
  }
  let best = { count: 0, text: "" };
  for (const entry of counts.values()) if (entry.count > best.count) best = entry;
  return best.text;
}
