/** Cleaning: rules over dialogue records, each with its own counts and examples. */
export { cleaner } from "./cleaner.ts";
export type { CleanReport, CleanResult, Cleaner } from "./cleaner.ts";
export { CleanConfig, SEED_CONFIG } from "./config.ts";
export type { CleanConfigInput } from "./config.ts";
export { RULES, RULE_KEYS } from "./rules.ts";
export type { RuleKey } from "./rules.ts";
export type { RuleDefinition, RuleExample, RuleReport, RuleServices, Span } from "./rule.ts";
export type { BoilerplateDetails } from "./boilerplate.ts";
export type { Cluster, ClusterReport } from "./clusters.ts";
export { languageOf } from "./language.ts";
export type { Language, LanguageDetails } from "./language.ts";
export type { NearDuplicatesDetails } from "./near-duplicates.ts";
export type { LengthBin, ReplyLengthDetails } from "./reply-length.ts";
export { PERSONAL_KINDS, personalDetector } from "./personal-detect.ts";
export type { PersonalFind, PersonalKind } from "./personal-detect.ts";
export { countWords } from "./word-count.ts";
export { SensitiveWordsOptions, sensitiveEntries, sensitiveFinder } from "./sensitive-words.ts";
export type { SensitiveFinder } from "./sensitive-words.ts";
