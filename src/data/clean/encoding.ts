/** Rule: debris of encodings and of web pages is undone where the original is certain, else the record goes. */
import { z } from "zod";
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { decodeEntities, hasMarkup, stripTags } from "./html.ts";
import { withContent } from "./messages.ts";
import { brokenAt, repairMojibake } from "./mojibake.ts";
import { type RuleDefinition, type Span, rejected } from "./rule.ts";

export const EncodingOptions = z.strictObject({
  enabled: z.boolean().default(true),
  html: z
    .enum(["strip", "keep", "reject"])
    .default("strip")
    .describe("Tags and entities of web pages: text only, left alone, or the record rejected."),
});
export type EncodingOptions = z.infer<typeof EncodingOptions>;

interface Verdict {
  readonly content: string;
  readonly repairs: readonly string[];
  readonly broken?: { readonly reason: string; readonly span: Span };
}

const SOUND: Verdict = { content: "", repairs: [] };
/** Text without any of these is sound: marks of web pages, control characters, Latin-1, surrogates, U+FFFD. */
const WORTH_A_LOOK =
  // oxlint-disable-next-line no-control-regex
  /[<&\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u00FF\uFEFF\uFFFD]|[\uD800-\uDFFF]|锟|烫烫/;
// oxlint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F\uFEFF]/g;

export const encoding: RuleDefinition<EncodingOptions> = {
  name: "encoding",
  summary: "Text is text: no broken encodings, control characters or remains of web pages.",
  scope: "record",
  options: EncodingOptions,
  start(options, _, texts) {
    const judge = texts.slot((text) => judgeText(text, options.html));
    return {
      apply(record, notes, entries) {
        let messages: RecordMessage[] | undefined;
        for (let index = 0; index < record.messages.length; index++) {
          const message = record.messages[index]!;
          const verdict = judge(entries[index]!);
          if (verdict === SOUND) continue;
          const { broken } = verdict;
          if (broken !== undefined) {
            notes.count(broken.reason, record, () => ({ message: index, ...broken.span }));
            return rejected(
              broken.reason,
              `message ${index + 1} holds ${EXPLAINED[broken.reason] ?? broken.reason}`,
            );
          }
          for (const repair of verdict.repairs) {
            const difference = differenceOf(message.content, verdict.content);
            notes.count(repair, record, () => ({ message: index, ...difference }));
          }
          if (verdict.content !== message.content) {
            messages ??= [...record.messages];
            messages[index] = withContent(message, verdict.content);
          }
        }
        return messages === undefined ? record : ({ ...record, messages } satisfies DialogueRecord);
      },
    };
  },
};

const EXPLAINED: Readonly<Record<string, string>> = {
  "replacement-character": "U+FFFD: a character was lost when the text was decoded",
  "lone-surrogate": "half a character (a lone surrogate)",
  mojibake: "text decoded with the wrong encoding",
  html: "the markup of a web page",
  script: "a script of a web page",
};

function judgeText(text: string, html: EncodingOptions["html"]): Verdict {
  if (!WORTH_A_LOOK.test(text)) return SOUND;
  let content = text;
  const repairs: string[] = [];
  const apply = (repair: string, made: string): void => {
    if (made !== content) repairs.push(repair);
    content = made;
  };
  apply("control-characters", content.replace(CONTROLS, ""));
  apply("mojibake-repaired", repairMojibake(content));
  const broken = brokenAt(content);
  // Spans are those of the text as it came; after a repair the whole message is marked.
  if (broken !== undefined) {
    const span = content === text ? broken.span : { start: 0, end: text.length };
    return { content, repairs, broken: { reason: broken.reason, span } };
  }
  if (html !== "keep") {
    const markup = hasMarkup(content);
    if (markup !== undefined && (html === "reject" || markup === "script")) {
      const reason = markup === "script" ? "script" : "html";
      return { content, repairs, broken: { reason, span: { start: 0, end: text.length } } };
    }
    if (markup !== undefined) {
      apply("tags-removed", stripTags(content));
      apply("entities-decoded", decodeEntities(content));
    }
  }
  return repairs.length === 0 ? SOUND : { content, repairs };
}

/** The part of `before` that `after` changed. */
function differenceOf(before: string, after: string): Span {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before.charCodeAt(start) === after.charCodeAt(start)) start += 1;
  let tail = 0;
  while (
    tail < shorter - start &&
    before.charCodeAt(before.length - 1 - tail) === after.charCodeAt(after.length - 1 - tail)
  ) {
    tail += 1;
  }
  return { start, end: before.length - tail };
}
