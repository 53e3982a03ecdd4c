/** Word lists: plain words, /patterns/, exceptions; from a file or from the config. */
import { readFileSync } from "node:fs";
import { RE2JS } from "re2js";
import { UserError, errorMessage, excerpt, explainReadError } from "../../util/index.ts";
import { type NormaliseOptions, type NormalisedCodes, codesToText, normaliser } from "./normalise.ts";
import type { Word } from "./word-matcher.ts";

export type WordAction = "reject" | "mask" | "flag";
const ACTIONS: readonly string[] = ["reject", "mask", "flag"] satisfies readonly WordAction[];

export interface WordEntry {
  /** As written in the list. */
  readonly written: string;
  readonly category: string;
  /** What the list says for this entry; otherwise the rule's own setting holds. */
  readonly action: WordAction | undefined;
  readonly match: { readonly word: Word } | { readonly pattern: RE2JS };
}

const MAX_ENTRIES = 200_000;
const MAX_ENTRY_LENGTH = 1_000;

export function readWordFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw explainReadError(error, path, "the word list");
  }
}

/**
 * Parses a list of one entry a line:
 * `word` (a whole word in Latin script, any text in Chinese) · `word*` (any word that begins so) ·
 * `/pattern/` (RE2 syntax, matched against the normalised text) · `!word` (exception) ·
 * `@category name` and `@action reject|mask|flag` (for the entries that follow) · `# comment` ·
 * `\` before a first character that would mean one of these. Errors are `UserError`s with file:line.
 */
export function parseWordList(text: string, file: string, options: NormaliseOptions): readonly WordEntry[] {
  const normalise = normaliser(options);
  const entries: WordEntry[] = [];
  let category = "words";
  let action: WordAction | undefined;
  text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .forEach((raw, index) => {
      const line = raw.trim();
      const at = `${file}:${index + 1}`;
      if (line === "" || line.startsWith("#")) return;
      if (line.length > MAX_ENTRY_LENGTH) {
        throw new UserError(`an entry of ${line.length} characters; the limit is ${MAX_ENTRY_LENGTH}`, {
          at,
          next: "Write one word or pattern a line.",
        });
      }
      if (line.startsWith("@")) {
        const [directive, ...rest] = line.slice(1).split(/\s+/);
        const value = rest.join(" ");
        if (directive === "category" && value !== "") category = value;
        else if (directive === "action" && ACTIONS.includes(value)) action = value as WordAction;
        else {
          throw new UserError(`${excerpt(line, 40)} is not "@category NAME" or "@action reject|mask|flag"`, {
            at,
            next: "Write a backslash before a word that begins with @.",
          });
        }
        return;
      }
      entries.push({ ...entryOf(line, at, options, normalise), category, action });
      if (entries.length > MAX_ENTRIES) {
        throw new UserError(`more than ${MAX_ENTRIES} entries`, { at, next: "Shorten the list." });
      }
    });
  return entries;
}

function entryOf(
  line: string,
  at: string,
  options: NormaliseOptions,
  normalise: ReturnType<typeof normaliser>,
): Pick<WordEntry, "written" | "match"> {
  if (line.length > 2 && line.startsWith("/") && line.endsWith("/")) {
    return { written: line, match: { pattern: compile(line.slice(1, -1), at, options, normalise) } };
  }
  const exception = line.startsWith("!");
  let written = exception ? line.slice(1) : line;
  if (written.startsWith("\\")) written = written.slice(1);
  const prefix = written.length > 1 && written.endsWith("*");
  const normal = normalise(prefix ? written.slice(0, -1) : written);
  if (normal.length === 0) {
    throw new UserError(`${JSON.stringify(line)} is empty after normalisation`, {
      at,
      next: "Remove this line.",
    });
  }
  return { written, match: { word: { codes: normal.codes.slice(0, normal.length), prefix, exception } } };
}

function compile(
  source: string,
  at: string,
  options: NormaliseOptions,
  normalise: ReturnType<typeof normaliser>,
): RE2JS {
  // The text is simplified before matching, so the pattern's Chinese characters must be too.
  const pattern = options.simplified
    ? source.replace(/\p{Script=Han}/gu, (character) => normalisedText(normalise(character)))
    : source;
  try {
    const compiled = RE2JS.compile(pattern, options.lowerCase ? RE2JS.CASE_INSENSITIVE : 0);
    if (compiled.matcher("").find()) {
      throw new UserError(`the pattern /${excerpt(source, 60)}/ matches the empty text`, {
        at,
        next: "Make it match at least one character.",
      });
    }
    return compiled;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`not a valid pattern: ${excerpt(source, 60)} (${errorMessage(error)})`, {
      at,
      next: "Patterns use RE2 syntax: no back-references and no look-around.",
      cause: error,
    });
  }
}

function normalisedText({ codes, length }: NormalisedCodes): string {
  return codesToText(codes, length);
}
