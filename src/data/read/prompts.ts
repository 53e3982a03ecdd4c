/** What is to be answered: one prompt a reply of any data set, or rows of `context` whose `response` may be missing. */
import { basename } from "node:path";
import type { Message } from "../../model/text/index.ts";
import { UserError, readJsonLines } from "../../util/index.ts";
import { RowFault } from "./fault.ts";
import { optionalLabel, optionalText } from "./layouts/fields.ts";
import { isObject, own, type RowContext, type RowObject } from "./layouts/layout.ts";
import { native } from "./layouts/native.ts";
import { readSources } from "./read-sources.ts";
import { placeText } from "./rows-to-records.ts";

export interface Prompt {
  /** The row's own `id`, else made of dialogue and turn, else of the place; unique in the file. */
  readonly id: string;
  readonly dialogueId: string;
  readonly messages: readonly Message[];
  /** The reply that stands in the data. */
  readonly reference?: string;
  readonly intent?: string;
  /** `file:line`, for messages. */
  readonly place: string;
}

/** Yields the prompts of `path` in order; a row that cannot be used, or an id given twice, is a `UserError`. */
export async function* readPrompts(path: string): AsyncGenerator<Prompt> {
  const seen = new Map<string, string>();
  const source = (await hasContextRows(path)) ? contextRows(path) : unfoldedReplies(path);
  for await (const prompt of source) {
    const before = seen.get(prompt.id);
    if (before !== undefined) {
      throw new UserError(`the id ${JSON.stringify(prompt.id)} stands already at ${before}`, {
        at: prompt.place,
        next: "Give each row an `id` of its own.",
      });
    }
    seen.set(prompt.id, prompt.place);
    yield prompt;
  }
}

/** Whether these are JSON lines of which the first has a `context`; a broken first line is left to the general reader. */
async function hasContextRows(path: string): Promise<boolean> {
  const rows = readJsonLines(path);
  try {
    const { value } = await rows.next();
    return value !== undefined && isObject(value.value) && own(value.value, "context") !== undefined;
  } catch {
    return false;
  } finally {
    await rows.return(undefined);
  }
}

async function* contextRows(path: string): AsyncGenerator<Prompt> {
  for await (const { value, line } of readJsonLines(path)) {
    const at = `${path}:${line}`;
    try {
      yield promptOf(value, at, `${basename(path)}:${line}`);
    } catch (error) {
      if (!(error instanceof RowFault)) throw error;
      throw new UserError(error.message, { at, next: `Mend or remove this row (rule ${error.rule}).` });
    }
  }
}

const context: Omit<RowContext, "file"> = { key: undefined, tools: "render", count: () => {} };

function promptOf(value: unknown, place: string, label: string): Prompt {
  if (!isObject(value)) throw new RowFault("wrong-type", "a row must be an object with a `context`");
  const reference = optionalText(value, "response") ?? optionalText(value, "reference");
  // The layout wants a reply; a stand-in is taken off again.
  const { messages, dialogueId, intent, turn } = native.map(
    { ...value, response: reference ?? "-" },
    { ...context, file: place },
  );
  const prompt = messages.slice(0, -1);
  if (prompt.at(-1)?.role === "assistant") {
    throw new RowFault("role-order", "the context ends with the assistant: there is nothing to answer");
  }
  const dialogue = dialogueId ?? label;
  return {
    id: optionalLabel(value, "id") ?? idOf(dialogue, turn, value, label),
    dialogueId: dialogue,
    messages: prompt,
    ...(reference === undefined ? {} : { reference }),
    ...(intent === undefined ? {} : { intent }),
    place,
  };
}

function idOf(dialogue: string, turn: number | undefined, row: RowObject, label: string): string {
  return turn === undefined || own(row, "dialogue_id") === undefined ? label : `${dialogue}:${turn}`;
}

async function* unfoldedReplies(path: string): AsyncGenerator<Prompt> {
  for await (const result of readSources([path], { strict: true, unfold: "reply" })) {
    if (result.kind === "rejected") continue;
    const { dialogueId, messages, turn, intent, source } = result.record;
    yield {
      id: `${dialogueId}:${turn ?? 0}`,
      dialogueId,
      messages: messages.slice(0, -1),
      reference: messages.at(-1)!.content,
      ...(intent === undefined ? {} : { intent }),
      place: placeText(source),
    };
  }
}
