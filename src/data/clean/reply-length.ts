/** Rule: replies outside a range of words, characters or tokens are not learned from. */
import { z } from "zod";
import { UserError, excerpt } from "../../util/index.ts";
import { type ReplyProblem, isSupervised, withoutReplies } from "./messages.ts";
import type { RuleDefinition } from "./rule.ts";
import { countWords } from "./word-count.ts";

export const ReplyLengthOptions = z
  .strictObject({
    enabled: z.boolean().default(true),
    unit: z.enum(["words", "characters", "tokens"]).default("words"),
    min: z.int().min(0).max(100_000).default(10),
    max: z.int().min(1).max(100_000).default(200),
    mode: z
      .enum(["context-only", "reject"])
      .default("context-only")
      .describe(
        "context-only: the reply stays in the history but is not learned from, and the record goes only when nothing is left to learn. reject: the record goes.",
      ),
  })
  .refine((options) => options.min <= options.max, { message: "replyLength.min is above replyLength.max" });
export type ReplyLengthOptions = z.infer<typeof ReplyLengthOptions>;

export interface LengthBin {
  /** Lengths from … to, both included; the last bin has no end. */
  readonly from: number;
  readonly to?: number;
  readonly replies: number;
}

export interface ReplyLengthDetails {
  readonly unit: ReplyLengthOptions["unit"];
  readonly min: number;
  readonly max: number;
  /** Of all replies that reached the rule, before it took anything away. */
  readonly histogram: readonly LengthBin[];
  readonly tooShort: number;
  readonly tooLong: number;
}

/** Lower ends of the histogram's bins. */
const BINS = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 201, 300, 500, 1_000,
];

export const replyLength: RuleDefinition<ReplyLengthOptions> = {
  name: "reply-length",
  summary: "Very short and very long replies are not learned from.",
  scope: "record",
  options: ReplyLengthOptions,
  start(options, services, texts) {
    const { min, max, unit, mode } = options;
    const measure = texts.slot(measureFor(unit, services.countTokens));
    const starts = [...new Set([...BINS, min, max + 1])].sort((a, b) => a - b);
    const counts = starts.map(() => 0);
    let tooShort = 0;
    let tooLong = 0;
    return {
      apply(record, notes, entries) {
        const problems: ReplyProblem[] = [];
        record.messages.forEach((message, index) => {
          if (!isSupervised(message)) return;
          const length = measure(entries[index]!);
          const bin = starts.findLastIndex((start) => start <= length);
          counts[bin]! += 1;
          if (length >= min && length <= max) return;
          const short = length < min;
          if (short) tooShort += 1;
          else tooLong += 1;
          problems.push({
            message: index,
            reason: short ? "too-short" : "too-long",
            sentence: () =>
              `the reply has ${length} ${unit} and ${short ? `fewer than ${min}` : `more than ${max}`}: ${excerpt(message.content.slice(0, 200), 60)}`,
          });
        });
        return withoutReplies(record, problems, mode, notes);
      },
      details(): ReplyLengthDetails {
        const histogram = starts.map((from, index): LengthBin => {
          const next = starts[index + 1];
          return { from, ...(next === undefined ? {} : { to: next - 1 }), replies: counts[index]! };
        });
        return { unit, min, max, histogram, tooShort, tooLong };
      },
    };
  },
};

function measureFor(unit: ReplyLengthOptions["unit"], countTokens: ((text: string) => number) | undefined) {
  switch (unit) {
    case "words":
      return countWords;
    case "characters":
      return countCharacters;
    case "tokens":
      if (countTokens === undefined) {
        throw new UserError("replyLength.unit is tokens, and no model is given", {
          next: "Name a model whose tokeniser counts, or use words.",
        });
      }
      return countTokens;
  }
}

/** Code points without white space. */
function countCharacters(text: string): number {
  let count = 0;
  for (const character of text) if (character.trim() !== "") count += 1;
  return count;
}
