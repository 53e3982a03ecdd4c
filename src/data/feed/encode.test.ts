/** Nothing is lost between examples and rows: what is not learned is named with its reason. */
import { describe, expect, it } from "vitest";
import { chatMlWithSystem, smallTokenizer } from "../../../test/fixtures/text.ts";
import { type Example, chatTemplate, conversationRenderer } from "../../model/text/index.ts";
import { encodeExamples } from "./encode.ts";

const tokenizer = smallTokenizer();
const renderer = conversationRenderer({ tokenizer, template: chatTemplate(chatMlWithSystem, tokenizer) });
const example = (dialogueId: string, answer: string, rest: Partial<Example> = {}): Example => ({
  dialogueId,
  messages: [
    { role: "user", content: "Hello" },
    { role: "assistant", content: answer },
  ],
  ...rest,
});

describe("encodeExamples", () => {
  it("counts rows, replies, tokens and targets, and carries the weight", () => {
    const { rows, report } = encodeExamples(
      [example("a", "Hi"), example("b", "Hi", { weight: 2 })],
      renderer,
      100,
    );
    expect(rows.map((row) => [row.dialogueId, row.example, row.replies, row.weight])).toEqual([
      ["a", 0, 1, 1],
      ["b", 1, 1, 2],
    ]);
    const targets = rows[0]!.targets.reduce((sum, target) => sum + target, 0);
    expect(report).toEqual({
      examples: 2,
      rows: 2,
      replies: 2,
      tokens: 2 * rows[0]!.ids.length,
      supervisedTokens: 2 * targets,
      droppedMessages: 0,
      shortenedRows: 0,
      perReplyExamples: 0,
      longestRow: rows[0]!.ids.length,
      rejected: [],
    });
  });

  it("names every example it cannot learn", () => {
    const { rows, report } = encodeExamples(
      [
        example("long", "word ".repeat(100)),
        example("empty", " "),
        example("good", "Hi"),
        example("none", "Hi", { messages: [{ role: "user", content: "Hello" }] }),
        example("weight", "Hi", { weight: Number.NaN }),
      ],
      renderer,
      60,
    );
    expect(rows.map((row) => row.dialogueId)).toEqual(["good"]);
    expect(report.rejected.map(({ example: index, dialogueId, rule }) => [index, dialogueId, rule])).toEqual([
      [0, "long", "reply-too-long"],
      [1, "empty", "reply-empty"],
      [3, "none", "template"],
      [4, "weight", "weight"],
    ]);
  });

  it("refuses data of which nothing can be learned", () => {
    expect(() => encodeExamples([], renderer, 60)).toThrow(/no examples to train on/);
    expect(() => encodeExamples([example("long", "word ".repeat(100))], renderer, 60)).toThrow(
      /none of the 1 examples can be learned; the first \(dialogue long\): the reply with its own question has .*Raise the maximum length/,
    );
  });
});
