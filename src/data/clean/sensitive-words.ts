/** Rule: insults, threats and fraud, found by word lists; each role and each entry says what follows. */
import { join } from "node:path";
import { RE2JS } from "re2js";
import { z } from "zod";
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { withContent } from "./messages.ts";
import {
  type NormaliseOptions,
  type NormalisedCodes,
  codesToText,
  normaliser,
  tracingNormaliser,
} from "./normalise.ts";
import { type RuleDefinition, type RuleServices, type Span, rejected } from "./rule.ts";
import { type WordAction, type WordEntry, parseWordList, readWordFile } from "./word-list.ts";
import { wordMatcher } from "./word-matcher.ts";

const action = z.enum(["reject", "mask", "flag", "off"]);

export const SensitiveWordsOptions = z.strictObject({
  enabled: z.boolean().default(true),
  starter: z.boolean().default(true).describe("Use the lists that come with Attune, English and Chinese."),
  lists: z
    .array(
      z.strictObject({
        file: z.string().optional().describe("A list of one entry a line."),
        words: z.array(z.string()).optional().describe("Entries as in a file."),
        action: z.enum(["reject", "mask", "flag"]).optional().describe("Instead of the role's action."),
      }),
    )
    .max(100)
    .default([])
    .describe("Lists of your own."),
  assistant: action.default("reject").describe("What a find in a reply does: nobody wants to learn it."),
  user: action
    .default("flag")
    .describe("What a find in a user's message does. Angry customers are worth learning to answer."),
  mask: z.string().max(40).default("***").describe("Stands in place of a masked find."),
  normalise: z
    .strictObject({
      width: z.boolean().default(true),
      simplified: z.boolean().default(true),
      zeroWidth: z.boolean().default(true),
      lowerCase: z.boolean().default(true),
      spaces: z.boolean().default(true),
    })
    .prefault({})
    .describe("What is ironed out before matching; the text itself stays as it is."),
});
export type SensitiveWordsOptions = z.infer<typeof SensitiveWordsOptions>;

export interface SensitiveFind extends Span {
  readonly entry: WordEntry;
}

export interface SensitiveFinder {
  find(text: string): readonly SensitiveFind[];
  /** The same, for a text that is normalised already, as the finder's options say. */
  findNormalised(normal: NormalisedCodes, text: string): readonly SensitiveFind[];
}

const NONE: readonly SensitiveFind[] = [];
const STARTER_LISTS = ["sensitive.en.txt", "sensitive.zh.txt"];

/** Entries of all lists that the options name. Errors are `UserError`s with file:line. */
export function sensitiveEntries(
  options: SensitiveWordsOptions,
  services: RuleServices = {},
): readonly WordEntry[] {
  const read = services.readText ?? readWordFile;
  const folder = join(import.meta.dirname, "..", "..", "..", "assets", "clean");
  const entries: WordEntry[] = [];
  if (options.starter) {
    for (const name of STARTER_LISTS) {
      entries.push(...parseWordList(readWordFile(join(folder, name)), name, options.normalise));
    }
  }
  options.lists.forEach((list, index) => {
    const texts: [string, string][] = [];
    if (list.file !== undefined) texts.push([read(list.file), list.file]);
    if (list.words !== undefined) texts.push([list.words.join("\n"), `sensitiveWords.lists[${index}].words`]);
    for (const [text, file] of texts) {
      for (const entry of parseWordList(text, file, options.normalise)) {
        entries.push({ ...entry, action: entry.action ?? list.action });
      }
    }
  });
  return entries;
}

/** Offsets are those of the text itself, not of its normalised form. */
export function sensitiveFinder(
  entries: readonly WordEntry[],
  normalisation: NormaliseOptions,
): SensitiveFinder {
  const normalise = normaliser(normalisation);
  const trace = tracingNormaliser(normalisation);
  const plain = entries.flatMap((entry) =>
    "word" in entry.match ? [{ entry, word: entry.match.word }] : [],
  );
  const patterns = entries.flatMap((entry) =>
    "pattern" in entry.match ? [{ entry, pattern: entry.match.pattern }] : [],
  );
  const matcher = wordMatcher(plain.map(({ word }) => word));
  // One automaton for all patterns: the usual text, which holds none of them, is read once.
  const any =
    patterns.length === 0
      ? undefined
      : RE2JS.compile(
          patterns.map(({ pattern }) => `(?:${pattern.pattern()})`).join("|"),
          normalisation.lowerCase ? RE2JS.CASE_INSENSITIVE : 0,
        );

  const findNormalised = (normal: NormalisedCodes, text: string): readonly SensitiveFind[] => {
    let finds: SensitiveFind[] | undefined;
    for (const { start, end, word } of matcher.find(normal.codes, normal.length)) {
      (finds ??= []).push({ start, end, entry: plain[word]!.entry });
    }
    if (any !== undefined) {
      const searched = codesToText(normal.codes, normal.length);
      if (any.test(searched)) {
        for (const { entry, pattern } of patterns) {
          const match = pattern.matcher(searched);
          while (match.find()) {
            if (match.end() > match.start())
              (finds ??= []).push({ start: match.start(), end: match.end(), entry });
          }
        }
      }
    }
    if (finds === undefined) return NONE;
    // Rare: only now are offsets of the original asked for.
    const traced = trace(text);
    return withoutOverlaps(
      finds.map(({ start, end, entry }) => ({
        start: traced.originalStart(start),
        end: traced.originalEnd(end - 1),
        entry,
      })),
    );
  };
  return { find: (text) => findNormalised(normalise(text), text), findNormalised };
}

function withoutOverlaps(finds: readonly SensitiveFind[]): readonly SensitiveFind[] {
  const kept: SensitiveFind[] = [];
  for (const find of [...finds].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (find.start >= (kept.at(-1)?.end ?? 0)) kept.push(find);
  }
  return kept;
}

export const sensitiveWords: RuleDefinition<SensitiveWordsOptions> = {
  name: "sensitive-words",
  summary: "Insults, threats and fraud are kept out of what the model learns.",
  scope: "record",
  options: SensitiveWordsOptions,
  start(options, services, texts) {
    const finder = sensitiveFinder(sensitiveEntries(options, services), options.normalise);
    const full = Object.values(options.normalise).every(Boolean);
    const find = full ? texts.normalisedSlot(finder.findNormalised) : texts.slot(finder.find);
    const actionFor = (message: RecordMessage, entry: WordEntry): WordAction | "off" => {
      const forRole = message.role === "assistant" ? options.assistant : options.user;
      return forRole === "off" ? "off" : (entry.action ?? forRole);
    };
    return {
      apply(record, notes, entries) {
        let messages: RecordMessage[] | undefined;
        for (let index = 0; index < record.messages.length; index++) {
          const message = record.messages[index]!;
          if (message.role !== "assistant" && message.role !== "user") continue;
          const finds = find(entries[index]!);
          if (finds.length === 0) continue;
          const masked: SensitiveFind[] = [];
          for (const found of finds) {
            const what = actionFor(message, found.entry);
            if (what === "off") continue;
            const mark = () => ({ message: index, start: found.start, end: found.end });
            if (what === "flag") notes.flag(found.entry.category, record, mark);
            else notes.count(found.entry.category, record, mark);
            if (what === "mask") masked.push(found);
            if (what === "reject") {
              return rejected(
                found.entry.category,
                `a message of the ${message.role} holds ${JSON.stringify(found.entry.written)} (${found.entry.category})`,
              );
            }
          }
          if (masked.length > 0) {
            messages ??= [...record.messages];
            messages[index] = withContent(
              message,
              replaceSpans(message.content, masked, () => options.mask),
            );
          }
        }
        return messages === undefined ? record : ({ ...record, messages } satisfies DialogueRecord);
      },
    };
  },
};

/** The text with each span replaced; spans are sorted and do not overlap. */
export function replaceSpans<S extends Span>(
  text: string,
  spans: readonly S[],
  replacement: (span: S) => string,
): string {
  let made = "";
  let from = 0;
  for (const span of spans) {
    made += text.slice(from, span.start) + replacement(span);
    from = span.end;
  }
  return made + text.slice(from);
}
