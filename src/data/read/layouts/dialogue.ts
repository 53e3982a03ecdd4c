/** Shared by the corpora of recorded dialogues: turns of two sides become messages. */
import { dirname, basename } from "node:path";
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue } from "../fault.ts";
import { joinRuns } from "../unfold.ts";
import { isObject, own, type RowContext, type RowObject } from "./layout.ts";

/**
 * Joins what one side said in several messages, and leaves replies that come before any question out of
 * what is learned. `speaker` is "user" or "assistant"; every turn must have a text.
 */
export function recordedDialogue(turns: readonly RecordMessage[], context: RowContext): RecordMessage[] {
  const messages = joinRuns(turns);
  if (messages.length < turns.length) {
    context.count("# dialogues had several messages of one side in a row: joined by line breaks");
  }
  const first = messages.findIndex((message) => message.role === "user");
  if (first < 0) throw new RowFault("no-user-turn", "the customer says nothing in this dialogue");
  if (first > 0) {
    context.count("# dialogues begin with a greeting of the agent: kept as history, not learned");
    for (let i = 0; i < first; i++) messages[i] = { ...messages[i]!, supervised: false };
  }
  return messages;
}

/** A field of one turn that must be text. */
export function turnText(turn: RowObject, name: string, number: number): string {
  const value = own(turn, name);
  if (typeof value === "string") return value;
  throw new RowFault(
    value === undefined || value === null ? "missing-field" : "wrong-type",
    `\`${name}\` of turn ${number} must be text; it is ${describeValue(value)}`,
  );
}

export function requireTurn(turn: unknown, number: number): RowObject {
  if (isObject(turn)) return turn;
  throw new RowFault("wrong-type", `turn ${number} must be an object; it is ${describeValue(turn)}`);
}

const SPLIT = /^(train|dev|val|valid|validation|test)(?:[._-]|$)/i;

/** "train", "dev", "val" or "test" from the file's name or its folder: some corpora count ids anew in each. */
export function splitName(file: string): string | undefined {
  const member = file.split("!").at(-1)!;
  return (
    SPLIT.exec(basename(member)) ??
    SPLIT.exec(basename(dirname(member))) ??
    SPLIT.exec(basename(file.split("!")[0]!))
  )?.[1]?.toLowerCase();
}

/** `sgd-train-10_00000`: corpus, split where it is known, and the corpus's own id. */
export function corpusId(corpus: string, file: string, id: string): string {
  const split = splitName(file);
  return split === undefined ? `${corpus}-${id}` : `${corpus}-${split}-${id}`;
}
