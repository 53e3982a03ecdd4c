/** Documents as ids: closed, cut without losing a target, never joined. */
import { expect, test } from "vitest";
import { chatMlWithSystem, smallTokenizer } from "../../../test/fixtures/text.ts";
import { chatTemplate, conversationRenderer } from "../../model/text/index.ts";
import { corpusCollector, corpusSequences, documentEncoder } from "./corpus.ts";

const tokenizer = smallTokenizer();
const renderer = conversationRenderer({ tokenizer, template: chatTemplate(chatMlWithSystem, tokenizer) });

test("a text is its ids and the end; a marker in it stays text", () => {
  const end = renderer.stopIds[0]!;
  const encode = documentEncoder(renderer, end);
  expect([...encode({ kind: "text", text: "Hello" })]).toEqual([
    ...tokenizer.encode("Hello", { addSpecialTokens: true }),
    end,
  ]);
  const typed = encode({ kind: "text", text: `a ${tokenizer.tokenOf(end)} b` });
  expect([...typed].filter((id) => id === end)).toHaveLength(1);
});

test("a dialogue is written by the template, whole", () => {
  const messages = [
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hi" },
    { role: "user", content: "Bye" },
    { role: "assistant", content: "Hi" },
  ] as const;
  const ids = documentEncoder(renderer, 0)({ kind: "dialogue", example: { dialogueId: "a", messages } });
  expect([...ids]).toEqual([...renderer.training(messages, 1000).sequences.at(-1)!.ids, 0]);
});

test("long documents are cut with one token in common, and every other token is a target once", () => {
  const { add, corpus } = corpusCollector();
  for (const document of [[1, 2, 3, 4, 5, 6, 7], [8], [9, 10], [11, 12, 13]]) add(Int32Array.from(document));
  const { sequences, encoding } = corpusSequences(corpus(), [0, 3], 4);
  expect(sequences.map(({ ids }) => [...ids])).toEqual([
    [1, 2, 3, 4],
    [4, 5, 6, 7],
    [9, 10],
  ]);
  const targets = sequences.flatMap(({ ids, weights }) => [...ids].filter((_, i) => weights[i] === 1));
  expect(targets).toEqual([2, 3, 4, 5, 6, 7, 10]);
  expect(encoding).toMatchObject({ examples: 3, rows: 3, tokens: 10, supervisedTokens: 7, shortenedRows: 1 });
  expect(corpusSequences(corpus(), [3, 4], 4).sequences.map(({ ids }) => [...ids])).toEqual([[11, 12, 13]]);
});

test("a corpus larger than its first buffer", () => {
  const { add, corpus } = corpusCollector();
  for (let i = 0; i < 3; i++) add(new Int32Array(50_000).fill(i));
  expect(corpus().ids).toHaveLength(150_000);
  expect(corpus().ids.at(-1)).toBe(2);
});
