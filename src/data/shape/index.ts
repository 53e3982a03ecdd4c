/** What a data set should look like: balanced intents, honest splits, enough long dialogues, sources in proportion. */
export { balance } from "./balance.ts";
export type { BalanceOptions, BalanceReport, BalanceResult } from "./balance.ts";
export { largestShare, shareCap } from "./cap.ts";
export type { ShareCap } from "./cap.ts";
export { NO_INTENT, countByClass } from "./columns.ts";
export type { Copies, RowColumns } from "./columns.ts";
export { longShare, raiseLongShare } from "./long.ts";
export type { LongOptions, LongReport } from "./long.ts";
export { mixSources } from "./mix.ts";
export type { MixOptions, MixReport } from "./mix.ts";
export {
  Groups,
  SPLITS,
  groupLabels,
  keepTogether,
  splitConversations,
  stratificationError,
} from "./split.ts";
export type { Split, SplitOptions, SplitResult } from "./split.ts";
export type { LabelledGroups } from "./stratify.ts";
export { NearIndex, jaccard } from "./near.ts";
export { ConversationShingles, SHINGLE_WORDS, conversationKey } from "./shingles.ts";
