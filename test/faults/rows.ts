/** Rows of the embedded dialogues, and what spoils them. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export interface Turn {
  readonly role: string;
  readonly content: string;
}

export interface DialogueRow {
  readonly dialogue_id: string;
  readonly context: readonly Turn[];
  readonly response: string;
  readonly intent?: string;
}

/** Rows of assets/quickstart, in the file's order. */
export async function embeddedRows(name: "train" | "validation"): Promise<readonly DialogueRow[]> {
  const path = fileURLToPath(new URL(`../../assets/quickstart/${name}.jsonl`, import.meta.url));
  return (await readFile(path, "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as DialogueRow);
}

export const english = (rows: readonly DialogueRow[]): DialogueRow[] =>
  rows.filter(({ dialogue_id }) => dialogue_id.includes("-en-"));

export const chinese = (rows: readonly DialogueRow[]): DialogueRow[] =>
  rows.filter(({ dialogue_id }) => dialogue_id.includes("-zh-"));

/** The rows of the first so many dialogues. */
export function firstDialogues(rows: readonly DialogueRow[], count: number): DialogueRow[] {
  const chosen = new Set([...new Set(rows.map(({ dialogue_id }) => dialogue_id))].slice(0, count));
  return rows.filter(({ dialogue_id }) => chosen.has(dialogue_id));
}

/** The same histories with other replies. */
export function withReplies(
  rows: readonly DialogueRow[],
  reply: (row: DialogueRow, question: string) => string,
): DialogueRow[] {
  return rows.map((row) => ({ ...row, response: reply(row, row.context.at(-1)!.content) }));
}
