/** Makes dialogue records for benchmarks: shared corpora where they are at hand, else a few invented lines, perturbed. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DialogueRecord, RecordMessage } from "../src/data/record.ts";
import { type Random, random, readJsonLines } from "../src/util/index.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "shared", "data", "jsonl");
const CORPORA = ["sgd", "crosswoz", "bitext"] as const;

interface Row {
  readonly dialogue_id: string;
  readonly turn: number;
  readonly context: readonly RecordMessage[];
  readonly response: string;
  readonly intent: string;
}

/** One record a reply, each with its history, as the native format has them. */
export async function realRows(corpora: readonly string[] = CORPORA): Promise<readonly DialogueRecord[]> {
  const records: DialogueRecord[] = [];
  for (const name of corpora) {
    const path = join(FOLDER, `${name}.train.jsonl.gz`);
    if (!existsSync(path)) continue;
    for await (const { value, line } of readJsonLines(path)) {
      const row = value as Row;
      const history = row.context.map((message) =>
        message.role === "assistant" ? { ...message, supervised: false } : message,
      );
      records.push({
        dialogueId: row.dialogue_id,
        messages: [...history, { role: "assistant", content: row.response }],
        intent: row.intent,
        turn: row.turn,
        source: { file: `${name}.train.jsonl.gz`, line },
      });
    }
  }
  return records.length > 0 ? records : invented();
}

/** One record a dialogue, every reply supervised. */
export function conversations(rows: readonly DialogueRecord[]): readonly DialogueRecord[] {
  const longest = new Map<string, DialogueRecord>();
  for (const row of rows) {
    const known = longest.get(row.dialogueId);
    if (known === undefined || known.messages.length < row.messages.length) longest.set(row.dialogueId, row);
  }
  return [...longest.values()].map((row) => ({
    ...row,
    messages: row.messages.map(({ role, content }) => ({ role, content })),
  }));
}

export function repliesIn(records: readonly DialogueRecord[]): number {
  let replies = 0;
  for (const { messages } of records) {
    for (const message of messages)
      if (message.role === "assistant" && message.supervised !== false) replies += 1;
  }
  return replies;
}

/**
 * Endless copies of `dialogues` in which words, or runs of Chinese characters, are replaced by words of other
 * dialogues, digits by other digits; `share` of the words. Now and then a copy is exact or nearly so.
 */
export function* perturbed(
  dialogues: readonly DialogueRecord[],
  share: number,
  seed: number,
): Generator<DialogueRecord> {
  const source = random(seed, "bench-perturbation");
  const words = vocabularyOf(dialogues);
  for (let copy = 0; ; copy++) {
    for (const dialogue of dialogues) {
      const draw = source.next();
      const part = draw < 0.01 ? 0 : draw < 0.05 ? share / 20 : share;
      yield {
        ...dialogue,
        dialogueId: `${dialogue.dialogueId}-${copy}`,
        messages: dialogue.messages.map((message) => ({
          ...message,
          content: perturb(message.content, part, words, source),
        })),
      };
    }
  }
}

const PIECES = /\d|[A-Za-z']+|\p{Script=Han}{2}/gu;

function perturb(text: string, share: number, words: Vocabulary, source: Random): string {
  if (share === 0) return text;
  return text.replace(PIECES, (piece) => {
    if (source.next() >= share) return piece;
    if (/\d/.test(piece)) return String(source.integer(10));
    return source.pick(/[A-Za-z]/.test(piece) ? words.latin : words.han);
  });
}

interface Vocabulary {
  readonly latin: readonly string[];
  readonly han: readonly string[];
}

function vocabularyOf(dialogues: readonly DialogueRecord[]): Vocabulary {
  const latin = new Set<string>(["hello"]);
  const han = new Set<string>(["你好"]);
  for (const { messages } of dialogues) {
    for (const { content } of messages) {
      for (const [piece] of content.matchAll(PIECES)) {
        if (/[A-Za-z]/.test(piece)) latin.add(piece);
        else if (!/\d/.test(piece)) han.add(piece);
      }
    }
  }
  return { latin: [...latin], han: [...han] };
}

function invented(): readonly DialogueRecord[] {
  const lines = [
    [
      "Where is my order? It was due on Monday.",
      "I am sorry for the delay; your parcel left the warehouse on Tuesday and arrives tomorrow.",
    ],
    [
      "我想订一间明天的双人房，有早餐吗？",
      "有的，明天双人房含两份早餐，每晚四百八十元，需要我现在为您预订吗？",
    ],
  ] as const;
  return lines.map(([question, reply], index) => ({
    dialogueId: `invented-${index}`,
    messages: [
      { role: "user", content: question },
      { role: "assistant", content: reply },
    ],
    source: { file: "invented", line: index + 1 },
  }));
}
