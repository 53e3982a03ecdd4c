/** Resampling, repetition, other trainers' names and the summary: hand-made cases and their edges. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { corpusBleu, sentenceBleu } from "./bleu.ts";
import { bootstrapInterval, meanInterval, meanOfSums, pairedBootstrap } from "./bootstrap.ts";
import { sentenceChrf } from "./chrf.ts";
import { icuWords, nltkSentenceBleu, otherBleu, otherBleuNames } from "./other-trainers.ts";
import {
  consecutiveRepeat,
  copyOfEarlierTurn,
  distinctN,
  lengthRatio,
  repetitionN,
  stoppedByShares,
} from "./repetition.ts";
import { compareSystems, metricReport } from "./report.ts";
import { rougeTokens, sentenceRouge } from "./rouge.ts";

describe("BLEU, ROUGE and chrF", () => {
  it("name what was computed", () => {
    expect(
      corpusBleu(["a b c d e"], [["a b c d f"]], { tokenizer: "zh", smoothing: "floor" }).signature,
    ).toBe("nrefs:1|case:mixed|eff:no|tok:zh|smooth:floor[0.10]|by:attune");
    expect(corpusBleu(["a", "b"], [["a"], ["b", "c"]]).signature).toContain("nrefs:var|");
    expect(sentenceChrf("a", ["a"], { wordOrder: 2 }).signature).toBe(
      "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|by:attune",
    );
  });

  it("give 100 or 1 for identical text, Chinese included, and stay in range", () => {
    expect(
      corpusBleu(["您的订单已经发货了"], [["您的订单已经发货了"]], { tokenizer: "zh" }).score,
    ).toBeCloseTo(100, 9);
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.array(fc.string({ unit: "grapheme" }), { minLength: 1 }),
        (a, b) => {
          const bleu = sentenceBleu(a, b, { tokenizer: "char" }).score;
          const { rougeL, rougeLsum, rouge1 } = sentenceRouge(a, b);
          const chrf = sentenceChrf(a, b).score;
          for (const value of [
            bleu / 100,
            chrf / 100,
            rougeL.fmeasure,
            rougeLsum.fmeasure,
            rouge1.fmeasure,
          ]) {
            expect(value).toBeGreaterThanOrEqual(0);
            expect(value).toBeLessThanOrEqual(1 + 1e-9);
          }
          if (rougeTokens(a).length > 0) expect(sentenceRouge(a, [a]).rougeL.fmeasure).toBe(1);
        },
      ),
    );
  });

  it("refuse predictions without references", () => {
    expect(() => corpusBleu(["a"], [])).toThrow("1 predictions but 0 lists");
    expect(() => corpusBleu(["a"], [[]])).toThrow("prediction 0 has no reference");
  });

  it("are quick on a line of 4,000 words", () => {
    const words = Array.from({ length: 4000 }, (_, i) => `w${i % 97}`).join(" ");
    expect(sentenceRouge(`${words} x`, [words]).rougeLsum.recall).toBe(1);
  });
});

describe("other trainers' BLEU-4", () => {
  it("LLaMA-Factory scores characters, so English looks better than it is", () => {
    const [predictions, references] = [["The parcel arrives on Monday"], [["Your package comes on Sunday"]]];
    const theirs = otherBleu("llamafactory-char", predictions, references).score;
    expect(theirs).toBeGreaterThan(3 * corpusBleu(predictions, references).score);
  });

  it("ms-swift leaves empty predictions out, LLaMA-Factory counts them as 0", () => {
    const [predictions, references] = [
      ["好的", ""],
      [["好的"], ["好的"]],
    ];
    expect(otherBleu("swift-char", predictions, references).counted).toBe(1);
    expect(otherBleu("llamafactory-char", predictions, references).counted).toBe(2);
    const segment = icuWords();
    for (const name of otherBleuNames) {
      expect(otherBleu(name, [""], [["好"]], segment).score).toBe(0);
    }
  });

  it("swift-jieba without jieba is an error, never another figure under its name", () => {
    expect(() => otherBleu("swift-jieba", ["a"], [["a"]])).toThrow("needs jieba");
  });

  it("NLTK's smoothing counts an order that is too long as one miss", () => {
    expect(nltkSentenceBleu(["好"], [["好"]])).toBeCloseTo((1 / 2 / 4 / 8) ** 0.25, 12);
    expect(nltkSentenceBleu([], [["好"]])).toBe(0);
  });
});

describe("repetition", () => {
  it("distinct-n counts over all texts, rep-n within one", () => {
    expect(distinctN(["a b a", "a b"], 1)).toBeCloseTo(2 / 5, 12);
    expect(distinctN(["a b a", "a b"], 2)).toBeCloseTo(2 / 3, 12);
    expect(distinctN([], 1)).toBe(0);
    expect(repetitionN("a b c d a b c d", 4)).toBeCloseTo(1 - 4 / 5, 12);
    expect(repetitionN("a b", 4)).toBe(0);
    expect(repetitionN("好好好好好好", 4)).toBeCloseTo(1 - 1 / 3, 12);
  });

  it("finds the phrase that a stuck model repeats", () => {
    expect(consecutiveRepeat("I am sorry . I am sorry . I am sorry . Bye")).toEqual({
      times: 3,
      phrase: "I am sorry .",
      share: 8 / 13,
    });
    expect(consecutiveRepeat("请稍等请稍等请稍等").times).toBe(3);
    expect(consecutiveRepeat("one two three")).toEqual({ times: 1, phrase: "", share: 0 });
    expect(consecutiveRepeat("").share).toBe(0);
    expect(consecutiveRepeat("no no no no").phrase).toBe("no");
  });

  it("finds whom a reply copies, the latest first", () => {
    const context = [
      { role: "user", content: "Where is my order?" },
      { role: "assistant", content: "One moment, please." },
      { role: "user", content: "Hello" },
    ];
    expect(copyOfEarlierTurn("where is my order", context)).toEqual({ role: "user", turn: 0 });
    expect(copyOfEarlierTurn("One moment please", context)).toEqual({ role: "assistant", turn: 1 });
    expect(copyOfEarlierTurn("It is on its way.", context)).toBeUndefined();
    expect(copyOfEarlierTurn(" ?! ", [{ role: "user", content: "..." }])).toBeUndefined();
  });

  it("compares lengths and says why generation stopped", () => {
    expect(lengthRatio(["a b", "c"], [["a b c d"], ["e f"]])).toBeCloseTo(0.5, 12);
    expect(lengthRatio([""], [[""]])).toBe(1);
    expect([...stoppedByShares(["stop", "length", "stop", "stop"])]).toEqual([
      ["stop", 0.75],
      ["length", 0.25],
    ]);
    expect(stoppedByShares([]).size).toBe(0);
  });
});

describe("bootstrap", () => {
  const values = Array.from({ length: 200 }, (_, i) => (i * 37) % 10);

  it("is the same for one seed and holds the score", () => {
    const first = meanInterval(values, { seed: 4 });
    expect(meanInterval(values, { seed: 4 })).toEqual(first);
    expect(meanInterval(values, { seed: 5 })).not.toEqual(first);
    expect(first.score).toBeCloseTo(4.5, 12);
    expect(first.low).toBeLessThan(4.5);
    expect(first.high).toBeGreaterThan(4.5);
    // The normal approximation of the same interval: 1.96 · 2.872 / √200.
    expect((first.high - first.low) / 2).toBeCloseTo(0.398, 1);
  });

  it("covers nothing and one item", () => {
    expect(meanInterval([])).toEqual({ score: 0, mean: 0, low: 0, high: 0 });
    expect(meanInterval([3])).toEqual({ score: 3, mean: 3, low: 3, high: 3 });
    expect(bootstrapInterval([], meanOfSums).score).toBe(0);
  });

  it("tells systems apart that differ, and only those", () => {
    const rows = values.map((value) => [value]);
    const better = values.map((value, i) => [value + (i % 3 === 0 ? 1 : 0)]);
    const same = pairedBootstrap(rows, rows, meanOfSums);
    expect(same.difference).toEqual({ score: 0, mean: 0, low: 0, high: 0 });
    expect(same.wins).toBe(0.5);
    expect(same.pValue).toBe(1);
    const test = pairedBootstrap(rows, better, meanOfSums);
    expect(test.pValue).toBeLessThan(0.01);
    expect(test.wins).toBe(1);
    expect(test.difference.low).toBeGreaterThan(0);
    expect(() => pairedBootstrap(rows, rows.slice(1), meanOfSums)).toThrow(
      "the baseline has 200, the other 199",
    );
  });
});

describe("the summary", () => {
  it("counts empty predictions as 0 and never skips them", () => {
    const references = [["It ships today."], ["It ships today."]];
    const report = metricReport(["It ships today.", "  "], references, { samples: 50 });
    expect(report).toMatchObject({ count: 2, empty: 1, exact: 0.5, language: "en" });
    expect(report.rougeL.score).toBeCloseTo(0.5, 12);
    expect(report.bleu4.score).toBe(report.bleu.score);
    expect(report.signatures.bleu).toContain("tok:13a");
  });

  it("takes the Chinese tokeniser for Chinese references, unless told otherwise", () => {
    const pair = [["您的订单已发货。"], [["您的订单已经发货。"]]] as const;
    expect(metricReport(...pair, { samples: 10 }).signatures.bleu).toContain("tok:zh");
    expect(metricReport(...pair, { samples: 10 }).bleu4.score).toBeGreaterThan(40);
    expect(metricReport(...pair, { samples: 10, language: "en" }).bleu4.score).toBe(0);
  });

  it("of nothing is zeros", () => {
    expect(metricReport([], [], { samples: 10 })).toMatchObject({ count: 0, empty: 0, exact: 0, stuck: 0 });
  });

  it("compares two systems on the same items", () => {
    const references = Array.from({ length: 30 }, (_, i) => [
      `Your order number ${i} has been shipped today.`,
    ]);
    const good = references.map(([text]) => text!);
    const bad = good.map((text) => text.split(" ").slice(0, 4).join(" "));
    const test = compareSystems(bad, good, references, { samples: 200 });
    expect(test.bleu4.difference.score).toBeGreaterThan(20);
    expect(test.bleu4.pValue).toBeLessThan(0.01);
    expect(test.chrf.wins).toBe(1);
    expect(test.rougeL.system.score).toBeCloseTo(1, 12);
  });
});
