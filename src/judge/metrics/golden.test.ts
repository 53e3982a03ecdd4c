/** Every text metric against the figures of sacreBLEU, rouge_score, NLTK and jieba. */
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import {
  type BleuOptions,
  type BleuSmoothing,
  bleuFromStatistics,
  bleuStatistics,
  sentenceBleu,
  sumStatistics,
} from "./bleu.ts";
import { pairedFromDraws } from "./bootstrap.ts";
import { type ChrfOptions, chrfFromStatistics, chrfStatistics, corpusChrf, sentenceChrf } from "./chrf.ts";
import { nltkSentenceBleu, otherBleu } from "./other-trainers.ts";
import { porterStem } from "./porter.ts";
import { consecutiveRepeat, distinctN, lengthRatio, repetitionN } from "./repetition.ts";
import { type RougeOptions, corpusRouge, rougeTypes, sentenceRouge } from "./rouge.ts";
import { type BleuTokenizer, bleuTokenizers } from "./tokenizers.ts";

interface BleuConfig {
  readonly tokenize: BleuTokenizer;
  readonly smooth_method: BleuSmoothing;
  readonly lowercase: boolean;
}

interface ChrfConfig {
  readonly char_order?: number;
  readonly word_order?: number;
  readonly beta?: number;
  readonly lowercase?: boolean;
  readonly whitespace?: boolean;
}

type Triple = readonly [precision: number, recall: number, fmeasure: number];

interface CorpusFigures {
  readonly bleu: readonly (readonly [plain: number, effective: number])[];
  readonly chrf: readonly number[];
  readonly rouge: Readonly<Record<string, Readonly<Record<string, Triple>>>>;
  readonly llamafactoryChar: number;
  readonly swiftChar: number;
  readonly swiftJieba: number;
  readonly swiftJiebaCounted: number;
}

interface Configs {
  readonly bleuConfigs: readonly BleuConfig[];
  readonly chrfConfigs: readonly ChrfConfig[];
}

const folder = new URL("../../../test/golden/metrics/", import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, folder), "utf8"));

const bleuOptions = (config: BleuConfig): BleuOptions => ({
  tokenizer: config.tokenize,
  smoothing: config.smooth_method,
  lowercase: config.lowercase,
});

const chrfOptions = (config: ChrfConfig): ChrfOptions => ({
  characterOrder: config.char_order ?? 6,
  wordOrder: config.word_order ?? 0,
  beta: config.beta ?? 2,
  lowercase: config.lowercase === true,
  whitespace: config.whitespace === true,
});

const rougeConfigs: Readonly<Record<string, RougeOptions>> = {
  cjk: {},
  cjkStem: { stemming: true },
  pure: { tokenizer: "rouge_score" },
  pureStem: { tokenizer: "rouge_score", stemming: true },
};

type Texts = readonly string[];
type References = readonly Texts[];

function sentenceFigures(prediction: string, references: Texts, configs: readonly BleuConfig[]): number[] {
  const rouge = sentenceRouge(prediction, references);
  const pure = sentenceRouge(prediction, references, rougeConfigs["pureStem"]);
  return [
    ...configs.map((config) => sentenceBleu(prediction, references, bleuOptions(config)).score),
    sentenceChrf(prediction, references).score,
    sentenceChrf(prediction, references, { wordOrder: 2 }).score,
    ...rougeTypes.map((type) => rouge[type].fmeasure),
    pure.rougeL.fmeasure,
    100 * nltkSentenceBleu([...prediction], [[...references[0]!]]),
  ];
}

function corpusFigures(
  predictions: Texts,
  references: References,
  configs: Configs,
): Omit<CorpusFigures, "swiftJieba" | "swiftJiebaCounted"> {
  const rouge = Object.entries(rougeConfigs).map(([name, options]) => {
    const scores = corpusRouge(predictions, references, options);
    const triples = rougeTypes.map((type): [string, Triple] => {
      const { precision, recall, fmeasure } = scores[type];
      return [type, [precision, recall, fmeasure]];
    });
    return [name, Object.fromEntries(triples)] as const;
  });
  return {
    bleu: configs.bleuConfigs.map((config) => {
      const options = bleuOptions(config);
      const rows = predictions.map((prediction, i) => bleuStatistics(prediction, references[i]!, options));
      const sums = sumStatistics(rows, 10);
      return [
        bleuFromStatistics(sums, options).score,
        bleuFromStatistics(sums, { ...options, effectiveOrder: true }).score,
      ];
    }),
    chrf: configs.chrfConfigs.map((config) => corpusChrf(predictions, references, chrfOptions(config)).score),
    rouge: Object.fromEntries(rouge),
    llamafactoryChar: otherBleu("llamafactory-char", predictions, references).score,
    swiftChar: otherBleu("swift-char", predictions, references).score,
  };
}

interface RepetitionFigures {
  readonly count: number;
  readonly distinct: readonly number[];
  readonly repetition: readonly number[];
  readonly stuck: number;
  readonly timesInARow: number;
  readonly shareInARow: number;
  readonly lengthRatio: number;
  readonly empty: number;
  readonly oneWord: number;
}

const repetition = read("repetition.json") as {
  readonly own: RepetitionFigures;
  readonly groups: readonly RepetitionFigures[];
};

function repetitionFigures(predictions: Texts, references: References): RepetitionFigures {
  const mean = (of: (text: string) => number): number =>
    predictions.reduce((sum, text) => sum + of(text), 0) / predictions.length;
  const orders = [1, 2, 3, 4];
  return {
    count: predictions.length,
    distinct: orders.map((n) => distinctN(predictions, n)),
    repetition: orders.map((n) => mean((text) => repetitionN(text, n))),
    stuck: mean((text) => (consecutiveRepeat(text).times >= 3 ? 1 : 0)),
    timesInARow: mean((text) => consecutiveRepeat(text).times),
    shareInARow: mean((text) => consecutiveRepeat(text).share),
    lengthRatio: lengthRatio(predictions, references),
    empty: predictions.filter((text) => text.trim() === "").length,
    oneWord: predictions.filter((text) => bleuTokenizers.zh(text).length === 1).length,
  };
}

/** Names every number that is further than 1e-6 from its golden one. */
function differences(actual: unknown, expected: unknown, path = ""): string[] {
  if (typeof expected === "number") {
    return typeof actual === "number" && Math.abs(actual - expected) <= 1e-6
      ? []
      : [`${path}: ${String(actual)} instead of ${expected}`];
  }
  return Object.entries(expected as object).flatMap(([key, value]) =>
    differences((actual as Readonly<Record<string, unknown>>)[key], value, `${path}/${key}`),
  );
}

describe("lines written for the test", () => {
  const own = read("own-lines.json") as Configs & {
    readonly pairs: readonly {
      readonly prediction: string;
      readonly references: Texts;
      readonly figures: readonly number[];
    }[];
    readonly corpus: CorpusFigures;
    readonly cuts: Readonly<Record<string, Texts>>;
    readonly stems: Readonly<Record<string, string>>;
    readonly paired: {
      readonly draws: readonly (readonly number[])[];
      readonly system: Texts;
      readonly bleu: readonly number[];
      readonly chrf: readonly number[];
    };
  };
  const predictions = own.pairs.map((pair) => pair.prediction);
  const references = own.pairs.map((pair) => pair.references);

  it("each pair scores as in the reference implementations", () => {
    const wrong = own.pairs.flatMap(({ prediction, references, figures }) =>
      differences(
        sentenceFigures(prediction, references, own.bleuConfigs),
        figures,
        JSON.stringify(prediction),
      ),
    );
    expect(wrong).toEqual([]);
    expect(own.pairs.length).toBeGreaterThan(90);
  });

  it("the corpus scores as in the reference implementations", () => {
    const { swiftJieba, swiftJiebaCounted, ...expected } = own.corpus;
    expect(differences(corpusFigures(predictions, references, own), expected)).toEqual([]);
    const jieba = otherBleu("swift-jieba", predictions, references, (text) => own.cuts[text]!);
    expect(jieba.score).toBeCloseTo(swiftJieba, 6);
    expect(jieba.counted).toBe(swiftJiebaCounted);
    expect(jieba.counted).toBeLessThan(predictions.length);
  });

  it("repeats as counted one by one", () => {
    expect(differences(repetitionFigures(predictions, references), repetition.own)).toEqual([]);
  });

  it("words are stemmed as NLTK stems them", () => {
    const stemmed = Object.keys(own.stems).map((word) => [word, porterStem(word)]);
    expect(Object.fromEntries(stemmed)).toEqual(own.stems);
  });

  it("the paired bootstrap is sacreBLEU's, given its draws", () => {
    const { draws, system, bleu, chrf } = own.paired;
    const rows = (texts: Texts, of: (text: string, list: Texts) => readonly number[]) =>
      texts.map((text, i) => of(text, references[i]!));
    const figures = (
      of: (text: string, list: Texts) => readonly number[],
      score: (sums: readonly number[]) => number,
    ) => {
      const test = pairedFromDraws(rows(predictions, of), rows(system, of), score, draws);
      const half = (test.system.high - test.system.low) / 2;
      return [test.baseline.score, test.system.score, test.system.mean, half, test.pValue];
    };
    expect(
      differences(
        figures(bleuStatistics, (sums) => bleuFromStatistics(sums).score),
        bleu,
      ),
    ).toEqual([]);
    expect(
      differences(
        figures(chrfStatistics, (sums) => chrfFromStatistics(sums)),
        chrf,
      ),
    ).toEqual([]);
  });
});

describe("2,000 pairs of real English and Chinese replies", () => {
  const real = read("real-pairs.json") as Configs & {
    readonly edits: readonly string[];
    readonly configs: readonly BleuConfig[];
    readonly groups: readonly {
      readonly file: string;
      readonly count: number;
      readonly corpus: CorpusFigures;
    }[];
    readonly pairs: readonly (readonly number[])[];
  };
  const data = new URL("../../../../shared/data/jsonl/", import.meta.url);

  it("score as in the reference implementations", { timeout: 240_000 }, (ctx) => {
    if (!existsSync(data)) ctx.skip("the real dialogues (../shared/data/jsonl) are not on this machine");
    let start = 0;
    const wrong: string[] = [];
    let empty = 0;
    for (const [group, { file, count, corpus }] of real.groups.entries()) {
      const replies = gunzipSync(readFileSync(new URL(file, data)))
        .toString()
        .trimEnd()
        .split("\n")
        .map((line) => [...(JSON.parse(line) as { readonly response: string }).response]);
      const pairs = real.pairs.slice(start, start + count).map((row) => {
        const [index, other, edit, second, ...figures] = row as [number, number, number, number, ...number[]];
        const references = [index, ...(second < 0 ? [] : [second])].map((i) => replies[i]!.join(""));
        return {
          prediction: edited(real.edits[edit]!, replies[other]!, replies[index]!),
          references,
          figures,
        };
      });
      for (const [i, { prediction, references, figures }] of pairs.entries()) {
        wrong.push(
          ...differences(sentenceFigures(prediction, references, real.configs), figures, `${file} ${i}`),
        );
      }
      const { swiftJieba: _, swiftJiebaCounted: __, ...expected } = corpus;
      const actual = corpusFigures(
        pairs.map((pair) => pair.prediction),
        pairs.map((pair) => pair.references),
        real,
      );
      wrong.push(...differences(actual, expected, file));
      const repeats = repetitionFigures(
        pairs.map((pair) => pair.prediction),
        pairs.map((pair) => pair.references),
      );
      wrong.push(...differences(repeats, repetition.groups[group], `${file} repetition`));
      for (const { prediction, references } of pairs) {
        if (prediction !== "") continue;
        empty += 1;
        const zeros = sentenceFigures(prediction, references, real.configs);
        if (zeros.some((score) => score !== 0)) wrong.push(`${file}: an empty prediction scores ${zeros}`);
      }
      start += count;
    }
    expect(wrong).toEqual([]);
    expect(start).toBe(2000);
    expect(empty).toBeGreaterThan(50);
    expect(repetition.groups.reduce((sum, { oneWord }) => sum + oneWord, 0)).toBeGreaterThan(50);
  });
});

/** The script's edits, over code points: they make predictions of every kind out of real replies. */
function edited(edit: string, other: Texts, own: Texts): string {
  const [middle, ownMiddle] = [Math.floor(other.length / 2), Math.floor(own.length / 2)];
  switch (edit) {
    case "same":
      return other.join("");
    case "half":
      return other.slice(0, middle).join("");
    case "swap":
      return [...other.slice(middle), ...other.slice(0, middle)].join("");
    case "mix":
      return [...other.slice(0, middle), ...own.slice(ownMiddle)].join("");
    case "word":
      return other[0]!;
    case "empty":
      return "";
    default:
      throw new Error(`unknown edit ${edit}`);
  }
}
