/** Rule: personal data becomes typed placeholders; a number that is itself the answer stays. */
import { RE2JS } from "re2js";
import { z } from "zod";
import { UserError, errorMessage, excerpt } from "../../util/index.ts";
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { withContent } from "./messages.ts";
import { PERSONAL_KINDS, type PersonalFind, type PersonalKind, personalDetector } from "./personal-detect.ts";
import { publicNumbers } from "./personal-public.ts";
import { type Mark, type RuleDefinition, rejected } from "./rule.ts";
import { replaceSpans } from "./sensitive-words.ts";

export const PersonalDataOptions = z.strictObject({
  enabled: z.boolean().default(true),
  action: z.enum(["mask", "reject", "flag"]).default("mask"),
  kinds: z.array(z.enum(PERSONAL_KINDS)).default([...PERSONAL_KINDS]),
  allow: z
    .array(z.string().min(1).max(500))
    .max(10_000)
    .default([])
    .describe("Values that stay, such as the shop's own hotline, or /patterns/ in RE2 syntax."),
  allowPublic: z
    .strictObject({
      answers: z
        .boolean()
        .default(true)
        .describe(
          "Keep a telephone number or a service mailbox that the assistant names first, as an answer, and that it does not call the customer's. Chinese mobile numbers are never kept by this.",
        ),
      dialogues: z
        .int()
        .min(0)
        .max(1_000)
        .default(3)
        .describe(
          "Keep what the assistant names first in at least so many dialogues (0: off). Needs a first look at the data.",
        ),
    })
    .prefault({}),
});
export type PersonalDataOptions = z.infer<typeof PersonalDataOptions>;

const PLACEHOLDERS: Readonly<Record<PersonalKind, string>> = {
  email: "EMAIL",
  phone: "PHONE",
  id: "ID_NUMBER",
  card: "BANK_CARD",
  ip: "IP",
  url: "URL",
  plate: "LICENCE_PLATE",
};

/** Masking can free a neighbour ("1381…" glued to a card); each round hides at least one more value. */
const MAX_ROUNDS = 8;

export const personalData: RuleDefinition<PersonalDataOptions> = {
  name: "personal-data",
  summary: "Personal data becomes placeholders: the same value the same placeholder within a conversation.",
  scope: "record",
  options: PersonalDataOptions,
  start(options, _, texts) {
    const detect = personalDetector(options.kinds);
    const known = texts.slot(detect);
    const allowed = allowList(options.allow);
    const publicValues = publicNumbers(options.allowPublic);
    return {
      observe(record, entries) {
        publicValues.observe(record, entries.map(known));
      },
      apply(record, notes, entries) {
        if (entries.every((entry) => known(entry).length === 0)) return record;
        const isPublic = publicValues.inRecord(record, entries.map(known));
        const hidden = (text: string, finds: readonly PersonalFind[]): readonly PersonalFind[] =>
          finds.filter((find) => !allowed(find.value, text.slice(find.start, find.end)) && !isPublic(find));
        const placeholders = new Map<string, string>();
        const counts = new Map<PersonalKind, number>();
        const placeholder = (find: PersonalFind): string => {
          const key = `${find.kind} ${find.value}`;
          let name = placeholders.get(key);
          if (name === undefined) {
            const count = (counts.get(find.kind) ?? 0) + 1;
            counts.set(find.kind, count);
            name = `[${PLACEHOLDERS[find.kind]}${count === 1 ? "" : `_${count}`}]`;
            placeholders.set(key, name);
          }
          return name;
        };
        let messages: RecordMessage[] | undefined;
        for (let index = 0; index < record.messages.length; index++) {
          const message = record.messages[index]!;
          let content = message.content;
          let finds = hidden(content, known(entries[index]!));
          for (const find of finds) {
            const mark = (): Mark => ({ message: index, start: find.start, end: find.end });
            if (options.action === "flag") notes.flag(find.kind, record, mark);
            else notes.count(find.kind, record, mark);
            if (options.action === "reject") {
              return rejected(
                find.kind,
                `a message of the ${message.role} holds personal data (${find.kind})`,
              );
            }
          }
          if (options.action !== "mask" || finds.length === 0) continue;
          for (let round = 0; finds.length > 0 && round < MAX_ROUNDS; round++) {
            content = replaceSpans(content, finds, placeholder);
            finds = hidden(content, detect(content));
          }
          messages ??= [...record.messages];
          messages[index] = withContent(message, content);
        }
        return messages === undefined ? record : ({ ...record, messages } satisfies DialogueRecord);
      },
    };
  },
};

/**
 * A text as reports show it: what is found keeps its ends only, so that a report does not spread it. The
 * length stays.
 */
export function veiler(): (text: string) => string {
  const detect = personalDetector();
  return (text) =>
    replaceSpans(text, detect(text), ({ start, end }) => {
      if (end - start <= 6) return "•".repeat(end - start);
      return `${text.slice(start, start + 2)}${"•".repeat(end - start - 4)}${text.slice(end - 2, end)}`;
    });
}

function allowList(entries: readonly string[]): (value: string, written: string) => boolean {
  const values = new Set<string>();
  const patterns: RE2JS[] = [];
  const detect = personalDetector();
  entries.forEach((entry, index) => {
    if (entry.length > 2 && entry.startsWith("/") && entry.endsWith("/")) {
      try {
        patterns.push(RE2JS.compile(entry.slice(1, -1), RE2JS.CASE_INSENSITIVE));
      } catch (error) {
        throw new UserError(`not a valid pattern: ${excerpt(entry, 60)} (${errorMessage(error)})`, {
          at: `personalData.allow[${index}]`,
          next: "Patterns use RE2 syntax: no back-references and no look-around.",
          cause: error,
        });
      }
      return;
    }
    values.add(entry);
    // However a number is written in the list, it is known in every other way of writing it.
    for (const find of detect(`电话 ${entry}`)) values.add(find.value);
  });
  return (value, written) =>
    values.has(value) ||
    values.has(written) ||
    patterns.some((pattern) => pattern.test(written) || pattern.test(value));
}
