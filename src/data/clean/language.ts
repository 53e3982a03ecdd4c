/** Rule: records in another language than wanted; told by script, and by common words where that is Latin. */
import { z } from "zod";
import type { DialogueRecord } from "../record.ts";
import { isSupervised, wholeMessage } from "./messages.ts";
import { type RuleDefinition, rejected } from "./rule.ts";

const KNOWN = [
  "zh",
  "en",
  "ja",
  "ko",
  "ru",
  "ar",
  "th",
  "hi",
  "el",
  "he",
  "fr",
  "de",
  "es",
  "pt",
  "it",
  "nl",
] as const;
export type Language = (typeof KNOWN)[number];

export const LanguageOptions = z.strictObject({
  enabled: z.boolean().default(true),
  wanted: z
    .array(z.enum(KNOWN))
    .default([])
    .describe("Languages that stay; empty: all. A record whose language is not certain stays."),
});
export type LanguageOptions = z.infer<typeof LanguageOptions>;

export interface LanguageDetails {
  /** Records by the language they were taken for; "unknown" where it is not certain. Sampled where none is wanted. */
  readonly languages: Readonly<Record<string, number>>;
}

export const language: RuleDefinition<LanguageOptions> = {
  name: "language",
  summary: "Records in a language that was not asked for are dropped.",
  scope: "record",
  options: LanguageOptions,
  start({ wanted }) {
    const counts = new Map<string, number>();
    let records = 0;
    return {
      apply(record, notes) {
        if (wanted.length === 0 && records++ % EVERY !== 0) return record;
        const found = languageOf(sampleOf(record)) ?? "unknown";
        counts.set(found, (counts.get(found) ?? 0) + 1);
        if (wanted.length === 0 || found === "unknown" || wanted.includes(found)) return record;
        notes.count(found, record, () => wholeMessage(record, record.messages.findLastIndex(isSupervised)));
        return rejected(found, `the language is ${found}; wanted: ${wanted.join(", ")}`);
      },
      details(): LanguageDetails {
        return { languages: Object.fromEntries([...counts].sort((a, b) => b[1] - a[1])) };
      },
    };
  },
};

const SAMPLE = 400;
/** Where no language is wanted, one record in so many is looked at: the report only says what is there. */
const EVERY = 16;

/** The newest words of both sides: enough to tell a language, however long the history. */
function sampleOf(record: DialogueRecord): string {
  let sample = "";
  for (let i = record.messages.length - 1; i >= 0 && sample.length < SAMPLE; i--) {
    const message = record.messages[i]!;
    if (message.role === "user" || message.role === "assistant")
      sample += `${message.content.slice(0, SAMPLE)} `;
  }
  return sample.slice(0, SAMPLE);
}

const SCRIPTS: readonly (readonly [from: number, to: number, language: Language])[] = [
  [0x0370, 0x03ff, "el"],
  [0x0400, 0x052f, "ru"],
  [0x0590, 0x05ff, "he"],
  [0x0600, 0x06ff, "ar"],
  [0x0900, 0x097f, "hi"],
  [0x0e00, 0x0e7f, "th"],
  [0x3040, 0x30ff, "ja"],
  [0x3400, 0x9fff, "zh"],
  [0xac00, 0xd7af, "ko"],
];
/** A Chinese character says as much as this many letters. */
const HAN_WEIGHT = 3;

const LATIN = SCRIPTS.length;
const JAPANESE = SCRIPTS.findIndex(([, , found]) => found === "ja");
const CHINESE = SCRIPTS.findIndex(([, , found]) => found === "zh");
const weights = new Float64Array(SCRIPTS.length + 1);

/** The language of most of a text; `undefined` where it is too short or too mixed to tell. */
export function languageOf(text: string): Language | undefined {
  weights.fill(0);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x0250) {
      if (code >= 0xc0 || ((code | 32) >= 0x61 && (code | 32) <= 0x7a)) weights[LATIN]! += 1;
      continue;
    }
    for (let script = 0; script < SCRIPTS.length; script++) {
      const [from, to, found] = SCRIPTS[script]!;
      if (code < from || code > to) continue;
      weights[script]! += found === "zh" || found === "ja" || found === "ko" ? HAN_WEIGHT : 1;
      break;
    }
  }
  // Japanese is written with Chinese characters too; a tenth of kana among them decides.
  const kana = weights[JAPANESE]!;
  if (kana > 0 && kana * 10 >= weights[CHINESE]!) {
    weights[JAPANESE]! += weights[CHINESE]!;
    weights[CHINESE] = 0;
  }
  let total = 0;
  let best = 0;
  for (let script = 0; script <= LATIN; script++) {
    total += weights[script]!;
    if (weights[script]! > weights[best]!) best = script;
  }
  if (total < 6 || weights[best]! < 0.6 * total) return undefined;
  return best === LATIN ? latinLanguageOf(text) : SCRIPTS[best]![2];
}

const COMMON_WORDS: Readonly<Partial<Record<Language, string>>> = {
  en: "the and to of is in you for it that on are with this have be your i can my what would do please not at how there want need will if me any from like yes thank thanks",
  fr: "le la les de des et un une est pour que vous je dans pas sur avec ce qui votre mon nous au du en ne il elle bonjour merci suis avez plus",
  de: "der die das und ist ich sie nicht ein eine zu den mit für auf es im von wir haben sind wie kann mein ihre bitte danke auch oder dem",
  es: "el la los de y que en un una es por para con no su lo se mi me usted está gracias hola puede como más del al quiero tengo",
  pt: "o a os de e que em um uma é por para com não seu se meu você obrigado olá pode como mais do da no na quero tenho está",
  it: "il la di e che un una è per con non il mio lei si grazie ciao può come più del della sono ho vorrei nel questo le gli",
  nl: "de het een en van is ik niet voor op met dat u zijn te in mijn we kan hoe dank hallo wat er aan ook maar wil heb",
};
const WORD_LANGUAGES: ReadonlyMap<string, readonly Language[]> = indexWords();

function indexWords(): ReadonlyMap<string, readonly Language[]> {
  const index = new Map<string, Language[]>();
  for (const found of KNOWN) {
    for (const word of new Set((COMMON_WORDS[found] ?? "").split(" "))) {
      if (word !== "") index.set(word, [...(index.get(word) ?? []), found]);
    }
  }
  return index;
}

/** By common words; a word of several languages counts a part for each. Needs three hits and a clear lead. */
function latinLanguageOf(text: string): Language | undefined {
  const scores = new Map<Language, number>();
  let hits = 0;
  for (const match of text.toLowerCase().matchAll(/[a-zà-ÿ]+/g)) {
    const languages = WORD_LANGUAGES.get(match[0]);
    if (languages === undefined) continue;
    hits += 1;
    for (const found of languages) scores.set(found, (scores.get(found) ?? 0) + 1 / languages.length);
  }
  const [first, second] = [...scores].sort((a, b) => b[1] - a[1]);
  if (first === undefined || hits < 3) return undefined;
  return second === undefined || first[1] >= 1.4 * second[1] ? first[0] : undefined;
}
