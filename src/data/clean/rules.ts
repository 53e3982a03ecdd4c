/** The table of rules, in the order in which a record meets them: repairs first, then single records, then comparisons. */
import { boilerplate } from "./boilerplate.ts";
import type { CleanConfig } from "./config.ts";
import { echo } from "./echo.ts";
import { encoding } from "./encoding.ts";
import { exactDuplicates } from "./exact-duplicates.ts";
import { language } from "./language.ts";
import { nearDuplicates } from "./near-duplicates.ts";
import { personalData } from "./personal-data.ts";
import { replyLength } from "./reply-length.ts";
import type { RuleDefinition } from "./rule.ts";
import { sensitiveWords } from "./sensitive-words.ts";
import { structure } from "./structure.ts";
import { twoSpeakers } from "./two-speakers.ts";

export type RuleKey = keyof CleanConfig;

/** A key of the config without a rule does not compile. */
export const RULES: { readonly [K in RuleKey]: RuleDefinition<CleanConfig[K]> } = {
  encoding,
  structure,
  twoSpeakers,
  language,
  echo,
  sensitiveWords,
  personalData,
  replyLength,
  exactDuplicates,
  boilerplate,
  nearDuplicates,
};

export const RULE_KEYS = Object.keys(RULES) as readonly RuleKey[];
