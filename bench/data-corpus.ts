/** A corpus of any size from the real dialogues in shared/data, by exchanging words: for measuring, not for training. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { random, readJsonLines, type Random } from "../src/util/index.ts";
import { LineWriter } from "../src/data/dataset/index.ts";

export type CorpusLayout = "messages" | "native";

interface Turn {
  readonly role: "user" | "assistant";
  readonly content: string;
  readonly intent?: string;
}

type Dialogue = readonly Turn[];

/** Share of words that are exchanged: variants of one dialogue share about a fifth of their word pairs. */
const EXCHANGED = 0.25;
/** Shares of dialogues that repeat an earlier one word for word, or with one word in thirty exchanged. */
const EXACT = 0.01;
const NEAR = 0.02;

/** Where the real dialogues lie relative to the repository, or `undefined` where they are missing. */
export function sharedData(): string | undefined {
  const folder = join(import.meta.dirname, "..", "..", "shared", "data", "jsonl");
  return existsSync(folder) ? folder : undefined;
}

/**
 * Writes at least `replies` assistant turns to `path`, from English task dialogues (half), English single questions with
 * long answers, and Chinese dialogues (a quarter each, in replies). Deterministic for a seed.
 */
export async function generateCorpus(
  folder: string,
  path: string,
  replies: number,
  options: { readonly layout: CorpusLayout; readonly seed: number },
): Promise<{ readonly replies: number; readonly dialogues: number }> {
  const rng = random(options.seed, "corpus");
  const families = await Promise.all(
    [
      { file: "sgd.train.jsonl.gz", share: 0.5 },
      { file: "bitext.train.jsonl.gz", share: 0.25 },
      { file: "crosswoz.train.jsonl.gz", share: 0.25 },
    ].map(async ({ file, share }) => {
      const dialogues = await readDialogues(join(folder, file));
      return { share, dialogues, words: vocabulary(dialogues), written: 0 };
    }),
  );
  const writer = await LineWriter.create(path);
  let written = 0;
  let dialogues = 0;
  const recent: Dialogue[] = [];
  while (written < replies) {
    // The family that is furthest behind its share.
    const family = families.reduce((a, b) => (a.written / a.share <= b.written / b.share ? a : b));
    const draw = rng.next();
    let made: Dialogue;
    if (recent.length > 0 && draw < EXACT) made = rng.pick(recent);
    else if (recent.length > 0 && draw < EXACT + NEAR)
      made = exchange(rng.pick(recent), family.words, 1 / 30, rng);
    else made = exchange(rng.pick(family.dialogues), family.words, EXCHANGED, rng);
    recent[dialogues % 2000] = made;
    const count = made.filter((turn) => turn.role === "assistant").length;
    for (const line of options.layout === "messages"
      ? [asMessages(made, dialogues)]
      : asRows(made, dialogues)) {
      const due = writer.write(line);
      if (due !== undefined) await due;
    }
    family.written += count;
    written += count;
    dialogues += 1;
  }
  await writer.finish();
  return { replies: written, dialogues };
}

/** The rows of each dialogue put together again: the last row holds the history, its response is the end. */
async function readDialogues(path: string): Promise<Dialogue[]> {
  const byId = new Map<string, Map<number, Turn>>();
  for await (const { value } of readJsonLines(path)) {
    const row = value as {
      readonly dialogue_id: string;
      readonly context: readonly Turn[];
      readonly response: string;
      readonly intent: string;
    };
    let turns = byId.get(row.dialogue_id);
    if (turns === undefined) byId.set(row.dialogue_id, (turns = new Map()));
    for (const [i, { role, content }] of row.context.entries())
      if (!turns.has(i)) turns.set(i, { role, content });
    turns.set(row.context.length, { role: "assistant", content: row.response, intent: row.intent });
  }
  return [...byId.values()].map((turns) => [...turns].sort(([a], [b]) => a - b).map(([, turn]) => turn));
}

/** Every word as often as it stands, so that drawing one keeps the frequencies. Chinese goes by pairs of characters. */
function vocabulary(dialogues: readonly Dialogue[]): string[] {
  return dialogues.flatMap((turns) =>
    turns.flatMap(({ content }) => pieces(content).filter((piece) => /[\p{L}]/u.test(piece))),
  );
}

function pieces(text: string): string[] {
  return text.match(/\p{Script=Han}{1,2}|[^\s\p{Script=Han}]+|\s+/gu) ?? [];
}

function exchange(turns: Dialogue, words: readonly string[], share: number, rng: Random): Dialogue {
  return turns.map((turn) => ({
    ...turn,
    content: pieces(turn.content)
      .map((piece) => {
        if (/^\s/.test(piece)) return piece;
        if (rng.next() < share) return rng.pick(words);
        return /\d/.test(piece) ? piece.replaceAll(/\d/g, () => String(rng.integer(10))) : piece;
      })
      .join(""),
  }));
}

function asMessages(turns: Dialogue, index: number): string {
  const intent = turns.find((turn) => turn.intent !== undefined)?.intent;
  const messages = turns.map(({ role, content }) => ({ role, content }));
  return JSON.stringify({ dialogue_id: `d${index}`, messages, intent });
}

function asRows(turns: Dialogue, index: number): string[] {
  return turns.flatMap(({ role, content, intent }, i) => {
    if (role !== "assistant") return [];
    const context = turns.slice(0, i).map((turn) => ({ role: turn.role, content: turn.content }));
    return [JSON.stringify({ dialogue_id: `d${index}`, turn: i, context, response: content, intent })];
  });
}
