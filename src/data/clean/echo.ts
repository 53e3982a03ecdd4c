/** Rule: a reply that only repeats the question teaches nothing. */
import { z } from "zod";
import { excerpt } from "../../util/index.ts";
import { type ReplyProblem, isSupervised, withoutReplies } from "./messages.ts";
import { jaccard, shingler } from "./minhash.ts";
import { normaliser } from "./normalise.ts";
import type { RuleDefinition } from "./rule.ts";

export const EchoOptions = z.strictObject({
  enabled: z.boolean().default(true),
  threshold: z
    .number()
    .min(0.5)
    .max(1)
    .default(0.9)
    .describe("Jaccard index of the words of question and reply from which the reply is a repetition."),
  mode: z.enum(["context-only", "reject"]).default("context-only"),
});
export type EchoOptions = z.infer<typeof EchoOptions>;

/** "Thanks!" — "Thanks!" is a greeting, not a repeated question. */
const MIN_WORDS = 4;

export const echo: RuleDefinition<EchoOptions> = {
  name: "echo",
  summary: "A reply that only repeats the question is not learned from.",
  scope: "record",
  options: EchoOptions,
  start({ threshold, mode }, _, texts) {
    const shinglesOf = shingler(1);
    const normalise = normaliser();
    const words = texts.slot((text) => shinglesOf(normalise(text)).slice());
    return {
      apply(record, notes, entries) {
        const problems: ReplyProblem[] = [];
        for (let index = 1; index < record.messages.length; index++) {
          const message = record.messages[index]!;
          const question = record.messages[index - 1]!;
          if (!isSupervised(message) || question.role !== "user") continue;
          // A repetition is about as long: most pairs end here.
          const ratio = message.content.length / question.content.length;
          if (ratio < 0.6 || ratio > 1.7 || !looksLikeQuestion(question.content)) continue;
          const asked = words(entries[index - 1]!);
          const replied = words(entries[index]!);
          if (
            replied.length < MIN_WORDS ||
            jaccard(asked, asked.length, replied, 0, replied.length) < threshold
          )
            continue;
          problems.push({
            message: index,
            reason: "repeats-question",
            sentence: () =>
              `the reply only repeats the question: ${excerpt(message.content.slice(0, 200), 60)}`,
          });
        }
        return withoutReplies(record, problems, mode, notes);
      },
    };
  },
};

/** A question mark, or more words than a greeting has: "Have a great day!" may be said back. */
function looksLikeQuestion(text: string): boolean {
  return /[?？]/.test(text) || text.length >= 40;
}
