/** The `clean` section of the project's config: one key a rule, defaults included, and the seed's preset. */
import { z } from "zod";
import { BoilerplateOptions } from "./boilerplate.ts";
import { EchoOptions } from "./echo.ts";
import { EncodingOptions } from "./encoding.ts";
import { ExactDuplicatesOptions } from "./exact-duplicates.ts";
import { LanguageOptions } from "./language.ts";
import { NearDuplicatesOptions } from "./near-duplicates.ts";
import { PersonalDataOptions } from "./personal-data.ts";
import { ReplyLengthOptions } from "./reply-length.ts";
import { SensitiveWordsOptions } from "./sensitive-words.ts";
import { StructureOptions } from "./structure.ts";
import { TwoSpeakersOptions } from "./two-speakers.ts";

/** Every rule is on by default where it repairs or drops what nobody wants to learn; `language` needs a wish first. */
export const CleanConfig = z.strictObject({
  encoding: EncodingOptions.prefault({}).describe(
    "Broken encodings, control characters, remains of web pages.",
  ),
  structure: StructureOptions.prefault({}).describe("Order of roles, empty turns."),
  twoSpeakers: TwoSpeakersOptions.prefault({}).describe("Two speakers in one message."),
  language: LanguageOptions.prefault({}).describe("Languages that stay."),
  echo: EchoOptions.prefault({}).describe("Replies that repeat the question."),
  sensitiveWords: SensitiveWordsOptions.prefault({}).describe("Insults, threats, fraud; lists of your own."),
  personalData: PersonalDataOptions.prefault({}).describe("E-mail, telephone, identity and card numbers, …"),
  replyLength: ReplyLengthOptions.prefault({}).describe("Shortest and longest reply to learn from."),
  exactDuplicates: ExactDuplicatesOptions.prefault({}).describe("Records that say the same."),
  boilerplate: BoilerplateOptions.prefault({}).describe("How often one reply text is learned from."),
  nearDuplicates: NearDuplicatesOptions.prefault({}).describe("Records that say nearly the same."),
});
export type CleanConfig = z.infer<typeof CleanConfig>;
export type CleanConfigInput = z.input<typeof CleanConfig>;

/**
 * The plain steps most scripts take: replies of 10–200 words or nothing, records with sensitive words
 * dropped, duplicates dropped; nothing else.
 */
export const SEED_CONFIG: CleanConfigInput = {
  encoding: { enabled: false },
  structure: { enabled: true, opening: "drop" },
  twoSpeakers: { enabled: false },
  language: { enabled: false },
  echo: { enabled: false },
  sensitiveWords: { enabled: true, assistant: "reject", user: "reject" },
  personalData: { enabled: false },
  replyLength: { enabled: true, unit: "words", min: 10, max: 200, mode: "reject" },
  exactDuplicates: { enabled: true, compare: "example" },
  boilerplate: { enabled: false },
  nearDuplicates: { enabled: false },
};
