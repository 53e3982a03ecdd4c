/** The near-duplicate search finds what comparing every pair finds, and shingles see through case and punctuation. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NearIndex, jaccard } from "./near.ts";
import { ConversationShingles, conversationKey } from "./shingles.ts";

const shinglesOf = (...texts: string[]): Uint32Array => {
  const gathered = new ConversationShingles();
  for (const text of texts) gathered.add(text);
  return gathered.set();
};

describe("NearIndex", () => {
  it("finds exactly the pairs that comparing all finds", () => {
    // Families of similar sets: a base, with a few tokens exchanged. A small alphabet gives many common tokens.
    const family = fc.tuple(
      fc.uniqueArray(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 40 }),
      fc.array(fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 6 }), { minLength: 1, maxLength: 5 }),
    );
    fc.assert(
      fc.property(
        fc.array(family, { maxLength: 6 }),
        fc.constantFrom(0.5, 0.8, 0.9, 1),
        (families, threshold) => {
          const sets = families.flatMap(([base, edits]) =>
            edits.map((edit) => {
              const changed = [...base.slice(edit.length), ...edit].map(
                (x) => Math.imul(x, 0x9e3779b1) >>> 0,
              );
              return Uint32Array.from(new Set(changed)).sort();
            }),
          );
          const index = new NearIndex(sets, threshold);
          for (const [i, set] of sets.entries()) {
            const found = new Map<number, number>();
            index.search(set, (id, similarity) => found.set(id, similarity));
            const expected = sets.flatMap((other, id) => (jaccard(set, other) >= threshold ? [id] : []));
            expect([...found.keys()].sort((a, b) => a - b)).toEqual(expected);
            expect(found.get(i)).toBe(1);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("knows no similarity of empty sets", () => {
    const index = new NearIndex([new Uint32Array(0)], 0.8);
    index.search(new Uint32Array(0), () => expect.unreachable());
  });
});

describe("ConversationShingles", () => {
  it("sees through case, punctuation, width and order of rows", () => {
    expect(shinglesOf("I'd like to book a Flight!", "Sure.")).toEqual(
      shinglesOf("sure", "i d like to book a flight"),
    );
    expect(shinglesOf("ＡＢＣ １２３ ok")).toEqual(shinglesOf("abc 123 OK"));
  });

  it("takes Chinese by the character", () => {
    expect(shinglesOf("你好，请问有空房吗？").length).toBe(7);
    const a = shinglesOf("请帮我推荐一个评分在四分以上的经济型酒店谢谢您了");
    const b = shinglesOf("请帮我推荐一个评分在五分以上的经济型酒店谢谢您了");
    expect(jaccard(a, b)).toBeCloseTo(21 / 25, 10);
  });

  it("does not count a repeated message twice, and survives lone surrogates and nothing", () => {
    expect(shinglesOf("a b c d", "a b c d")).toEqual(shinglesOf("a b c d"));
    expect(shinglesOf("\ud800 x", "").length).toBe(1);
    expect(shinglesOf("", " ?! ").length).toBe(0);
  });

  it("is the set of word pairs", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "b", "c", "d"), { minLength: 2, maxLength: 30 }), (words) => {
        const grams = new Set(words.slice(1).map((_, i) => words.slice(i, i + 2).join(" ")));
        expect(shinglesOf(words.join(" ")).length).toBe(grams.size);
      }),
    );
  });
});

describe("conversationKey", () => {
  const say = (role: string, content: string) => ({ role, content });

  it("is equal for the same words by the same speakers only", () => {
    const key = conversationKey([say("user", "Hi there"), say("assistant", "Hello!")]);
    expect(conversationKey([say("user", "hi, THERE"), say("assistant", "hello")])).toBe(key);
    expect(conversationKey([say("assistant", "hi there"), say("user", "hello")])).not.toBe(key);
    expect(conversationKey([say("user", "hi"), say("assistant", "there hello")])).not.toBe(key);
    expect(Number.isSafeInteger(key)).toBe(true);
  });

  it("does not collide on 50,000 short conversations", () => {
    const keys = new Set(
      Array.from({ length: 50_000 }, (_, i) => conversationKey([say("user", `order ${i}`)])),
    );
    expect(keys.size).toBe(50_000);
  });
});
