/** Every detector, in the order in which a reader asks: how it trained, what it says, for whom it fails. */
import { belowRetrieval } from "./detectors/below-retrieval.ts";
import { copiedQuestion } from "./detectors/copied-question.ts";
import { earlyStop } from "./detectors/early-stop.ts";
import { emptyReplies } from "./detectors/empty-replies.ts";
import { failingIntents } from "./detectors/failing-intents.ts";
import { leakedMarks } from "./detectors/leaked-marks.ts";
import { learningRateHigh } from "./detectors/learning-rate-high.ts";
import { learningRateLow } from "./detectors/learning-rate-low.ts";
import { longDialogues } from "./detectors/long-dialogues.ts";
import { lostSlices } from "./detectors/lost-slices.ts";
import { memorisedReplies } from "./detectors/memorised-replies.ts";
import { neverStopping } from "./detectors/never-stopping.ts";
import { oneReply } from "./detectors/one-reply.ts";
import { overfitting } from "./detectors/overfitting.ts";
import { repetition } from "./detectors/repetition.ts";
import { smallData } from "./detectors/small-data.ts";
import { templateMismatch } from "./detectors/template-mismatch.ts";
import { underfitting } from "./detectors/underfitting.ts";
import { unsafeWordsFinding } from "./detectors/unsafe-words.ts";
import { wrongLanguage } from "./detectors/wrong-language.ts";
import type { Detector } from "./types.ts";

export const detectors: readonly Detector[] = [
  templateMismatch,
  learningRateHigh,
  learningRateLow,
  overfitting,
  memorisedReplies,
  underfitting,
  earlyStop,
  smallData,
  neverStopping,
  emptyReplies,
  repetition,
  oneReply,
  copiedQuestion,
  wrongLanguage,
  leakedMarks,
  unsafeWordsFinding,
  longDialogues,
  lostSlices,
  failingIntents,
  belowRetrieval,
];
