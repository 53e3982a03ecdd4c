/** Documents to pre-train on: text files, JSON lines with a text each, and dialogues in any layout that is known. */
import type { Example } from "../../model/text/index.ts";
import { UserError, readJsonLines, readTextLines } from "../../util/index.ts";
import { readExamples } from "./examples.ts";
import { expandInputs, looksLikeRows } from "./inputs.ts";
import type { FieldMap } from "./types.ts";

export type TextDocument =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "dialogue"; readonly example: Example };

export interface DocumentOptions {
  /** `text` may name the field that holds the text; other names are those of dialogues. */
  readonly fields?: FieldMap | undefined;
}

const textFile = /\.(?:txt|text|md)(?:\.gz)?$/i;
const jsonLines = /\.(?:jsonl|ndjson)(?:\.gz)?$/i;

/** A line of a text file that ends one document and begins the next. */
const separator = "<|endoftext|>";

const longest = 64 * 2 ** 20;

/** Files, folders and globs to files in a fixed order; folders are searched for texts and rows. */
export async function documentFiles(inputs: readonly string[]): Promise<readonly string[]> {
  const { files } = await expandInputs(inputs, (path) => textFile.test(path) || looksLikeRows(path));
  return files.map(({ path }) => path);
}

/**
 * The documents of one file, in order. A text file is one document, or several with lines `<|endoftext|>` between them;
 * rows that repeat one dialogue reply by reply are one document.
 * A row that cannot be used is a `UserError` with file, line and next step.
 */
export async function* readDocuments(
  path: string,
  { fields }: DocumentOptions = {},
): AsyncGenerator<TextDocument> {
  if (textFile.test(path)) yield* readTexts(path);
  else if (await holdsTexts(path, fields)) yield* readTextRows(path, fields?.["text"] ?? "text");
  else {
    const { text: _, ...others } = fields ?? {};
    yield* wholeDialogues(readExamples(path, { fields: others }));
  }
}

/** Leaves out a row that the next one repeats and goes on from, as files with a row a reply have them. */
async function* wholeDialogues(examples: AsyncIterable<Example>): AsyncGenerator<TextDocument> {
  let held: Example | undefined;
  for await (const example of examples) {
    if (held !== undefined && !goesOnFrom(example, held)) yield { kind: "dialogue", example: held };
    held = example;
  }
  if (held !== undefined) yield { kind: "dialogue", example: held };
}

function goesOnFrom({ messages }: Example, before: Example): boolean {
  return (
    messages.length >= before.messages.length &&
    before.messages.every(
      ({ role, content }, i) => messages[i]!.role === role && messages[i]!.content === content,
    )
  );
}

async function* readTexts(path: string): AsyncGenerator<TextDocument> {
  let lines: string[] = [];
  let characters = 0;
  const whole = function* (): Generator<TextDocument> {
    const text = lines.join("\n").trim();
    [lines, characters] = [[], 0];
    if (text !== "") yield { kind: "text", text };
  };
  for await (const { text, line } of readTextLines(path, "the text")) {
    if (text.trim() === separator) {
      yield* whole();
      continue;
    }
    if (text.includes("\u0000")) {
      throw new UserError("a character U+0000: this is no text", {
        at: `${path}:${line}`,
        next: "Name a text file, JSON lines, or dialogues.",
      });
    }
    characters += text.length + 1;
    if (characters > longest) {
      throw new UserError(`a document of more than ${longest} characters`, {
        at: `${path}:${line}`,
        next: `Divide it by lines that hold ${separator} alone.`,
      });
    }
    lines.push(text);
  }
  yield* whole();
}

/** Whether the first row of a file of JSON lines holds a text and no dialogue. */
async function holdsTexts(path: string, fields: FieldMap | undefined): Promise<boolean> {
  if (!jsonLines.test(path)) return false;
  for await (const { value } of readJsonLines(path))
    return textOf(value, fields?.["text"] ?? "text") !== undefined;
  return false;
}

async function* readTextRows(path: string, field: string): AsyncGenerator<TextDocument> {
  for await (const { value, line } of readJsonLines(path)) {
    const text = textOf(value, field);
    if (text === undefined) {
      throw new UserError(`a row without text in its field ${JSON.stringify(field)}`, {
        at: `${path}:${line}`,
        next: "Mend or remove this line; texts and dialogues belong into files of their own.",
      });
    }
    if (text.trim() !== "") yield { kind: "text", text };
  }
}

function textOf(value: unknown, field: string): string | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, field)) return undefined;
  const text: unknown = Reflect.get(value, field);
  return typeof text === "string" ? text : undefined;
}
