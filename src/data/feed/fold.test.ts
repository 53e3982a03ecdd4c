/** Folding keeps every row and every target: the folded loss is the sum of the rows' losses. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { array, assert, constantFrom, integer, property, record } from "fast-check";
import { describe, expect, it } from "vitest";
import { ggufVocabulary } from "../../../test/fixtures/gguf-vocabulary.ts";
import { smolLm2 } from "../../../test/fixtures/smollm2.ts";
import {
  type Example,
  chatTemplate,
  conversationRenderer,
  tokenizerFromGguf,
} from "../../model/text/index.ts";
import { type EncodedRow, encodeExamples } from "./encode.ts";
import { foldRows } from "./fold.ts";

const row = (
  dialogueId: string,
  ids: readonly number[],
  targets: readonly number[],
  weight = 1,
): EncodedRow => ({
  dialogueId,
  ids: Int32Array.from(ids),
  targets: Uint8Array.from(targets),
  replies: 1,
  weight,
  example: 0,
});

/** A loss that, like a causal model's, depends on the token and on what precedes it. */
const losses = (ids: Int32Array): number[] => {
  let state = 1;
  return [...ids].map((id) => {
    const loss = (Math.imul(state, 31) + id) % 97;
    state = Math.imul(state, 17) + id + 1;
    return Math.abs(loss);
  });
};
const beginsWith = (ids: Int32Array, beginning: Int32Array): boolean =>
  beginning.length <= ids.length && beginning.every((id, at) => id === ids[at]);

/** Few ids and few dialogues, so that rows often are prefixes, duplicates or branches of one another. */
const rows = array(
  record({
    dialogueId: constantFrom("a", "b"),
    ids: array(integer({ min: 0, max: 2 }), { minLength: 2, maxLength: 6 }),
    mask: integer({ min: 1, max: 63 }),
    weight: constantFrom(1, 0.5, 3),
  }).map(({ dialogueId, ids, mask, weight }) =>
    row(
      dialogueId,
      ids,
      ids.map((_, at) => (at > 0 && (at === ids.length - 1 || (mask >> at) & 1) ? 1 : 0)),
      weight,
    ),
  ),
  { minLength: 1, maxLength: 14 },
);

describe("foldRows", () => {
  it("gives the sum of the rows' losses, folded or not", () => {
    assert(
      property(rows, constantFrom(true, false), (all, fold) => {
        const apart = all.reduce((sum, one) => {
          const each = losses(one.ids);
          return sum + one.targets.reduce((inner, target, at) => inner + target * one.weight * each[at]!, 0);
        }, 0);
        const folded = foldRows(all, { fold }).sequences.reduce((sum, one) => {
          const each = losses(one.ids);
          return sum + one.weights.reduce((inner, weight, at) => inner + weight * each[at]!, 0);
        }, 0);
        expect(folded).toBeCloseTo(apart, 3);
      }),
    );
  });

  it("puts every row into exactly one sequence, which begins with it and is of its dialogue", () => {
    assert(
      property(rows, (all) => {
        const { sequences, report } = foldRows(all);
        expect(sequences.flatMap((one) => one.rows).sort((a, b) => a - b)).toEqual([...all.keys()]);
        for (const sequence of sequences) {
          expect(sequence.replies).toBe(sequence.rows.length);
          expect(new Set(sequence.rows.map((index) => all[index]!.dialogueId)).size).toBe(1);
          for (const index of sequence.rows) expect(beginsWith(sequence.ids, all[index]!.ids)).toBe(true);
        }
        expect(report.tokensBefore).toBe(all.reduce((sum, one) => sum + one.ids.length, 0));
        expect(report.tokensAfter).toBe(sequences.reduce((sum, one) => sum + one.ids.length, 0));
        expect(report).toMatchObject({ rows: all.length, sequences: sequences.length });
      }),
    );
  });

  it("leaves nothing to fold", () => {
    assert(
      property(rows, (all) => {
        const { sequences } = foldRows(all);
        for (const a of sequences) {
          for (const b of sequences) {
            const sameDialogue = all[a.rows[0]!]!.dialogueId === all[b.rows[0]!]!.dialogueId;
            if (a !== b && sameDialogue) expect(beginsWith(b.ids, a.ids)).toBe(false);
          }
        }
      }),
    );
  });

  it("adds the weights of duplicates, and keeps other answers to one history apart", () => {
    const { sequences } = foldRows([
      row("a", [1, 2, 3], [0, 0, 1]),
      row("a", [1, 2, 3], [0, 0, 1], 2),
      row("a", [1, 2, 4], [0, 0, 1]),
      row("a", [1, 2, 3, 5, 6], [0, 0, 0, 0, 1]),
      row("b", [1, 2, 3, 5, 6, 7], [0, 0, 0, 0, 0, 1]),
    ]);
    expect(
      sequences.map(({ ids, weights, replies, rows: from }) => [[...ids], [...weights], replies, from]),
    ).toEqual([
      [[1, 2, 3, 5, 6], [0, 0, 3, 0, 1], 3, [0, 1, 3]],
      [[1, 2, 4], [0, 0, 1], 1, [2]],
      [[1, 2, 3, 5, 6, 7], [0, 0, 0, 0, 0, 1], 1, [4]],
    ]);
  });

  it("takes many rows of one dialogue without comparing each with each", () => {
    const all = Array.from({ length: 5_000 }, (_, i) =>
      row("a", [...Array(20).fill(7), i, 1], [...Array(21).fill(0), 1]),
    );
    expect(foldRows(all).sequences).toHaveLength(5_000);
  });

  it("refuses a target that nothing precedes", () => {
    expect(() => foldRows([row("a", [1, 2], [1, 1])])).toThrow(/first token is a target/);
  });
});

describe("real dialogues with SmolLM2's tokenizer", () => {
  const shared = fileURLToPath(new URL("../../../../shared/data/jsonl/", import.meta.url));

  // The first 40 dialogues; the figures are those of a script that compares the ids of neighbouring rows in PyTorch's
  // world, whose tokenizer reads this GGUF with GPT-2's words. On 300 dialogues: 5.85 and 5.66.
  it.for([
    ["sgd.train", { rows: 359, sequences: 40, tokensBefore: 83_768, tokensAfter: 14_010 }, 5_871],
    ["crosswoz.train", { rows: 332, sequences: 40, tokensBefore: 188_480, tokensAfter: 34_205 }, 14_863],
  ] as const)(
    "%s folds as the reference script says",
    async ([name, expected, supervisedTokens], context) => {
      const path = `${shared}${name}.jsonl.gz`;
      if (!existsSync(path))
        return context.skip(`no shared dialogues: ${name}.jsonl.gz is not beside the repository`);
      const model = await smolLm2();
      if (model.path === undefined) return context.skip(model.reason);
      const { tokenizer, chatTemplate: source } = tokenizerFromGguf({
        ...(await ggufVocabulary(model.path)),
        pre: "gpt-2",
      });
      const renderer = conversationRenderer({ tokenizer, template: chatTemplate(source, tokenizer) });
      const encoded = encodeExamples(firstDialogues(path, 40), renderer, 8_192);
      expect(encoded.report).toMatchObject({ supervisedTokens, droppedMessages: 0, rejected: [] });
      expect(foldRows(encoded.rows).report).toMatchObject(expected);
    },
  );
});

interface NativeRow {
  readonly dialogue_id: string;
  readonly context: readonly { readonly role: "user" | "assistant"; readonly content: string }[];
  readonly response: string;
}

function firstDialogues(path: string, count: number): Example[] {
  const seen = new Set<string>();
  const examples: Example[] = [];
  for (const line of gunzipSync(readFileSync(path)).toString("utf8").trim().split("\n")) {
    const { dialogue_id: dialogueId, context, response } = JSON.parse(line) as NativeRow;
    if (!seen.has(dialogueId) && seen.size >= count) continue;
    seen.add(dialogueId);
    const history = context.map((message) => ({ ...message, supervised: false }));
    examples.push({ dialogueId, messages: [...history, { role: "assistant", content: response }] });
  }
  return examples;
}
