/** What other trainers print as "BLEU-4", under its own name, so that a published figure can be set beside ours. */
import { closestLength, ngramStatistics, requireReferences } from "./bleu.ts";

/**
 * - `llamafactory-char`: LLaMA-Factory (`train/sft/metric.py`): NLTK `sentence_bleu` with smoothing method 3 over
 *   characters, spaces included and in every language, each rounded to 4 decimals, then the mean.
 * - `swift-char`: ms-swift to 3.x: the same without rounding; pairs with an empty side are left out of the mean.
 * - `swift-jieba`: ms-swift from 4.0: words by jieba, spaces trimmed; pairs with an empty side are left out.
 * - `swift-icu-words`: as `swift-jieba` but with ICU's word boundaries, which need no dictionary package: a
 *   stand-in, not the same figure.
 */
export type OtherBleu = "llamafactory-char" | "swift-char" | "swift-jieba" | "swift-icu-words";
export const otherBleuNames: readonly OtherBleu[] = [
  "llamafactory-char",
  "swift-char",
  "swift-jieba",
  "swift-icu-words",
];

/** Cuts a text into words, spaces and punctuation included, as jieba's `cut` does. */
export type WordSegmenter = (text: string) => readonly string[];

export interface OtherBleuScore {
  /** 0–100. */
  readonly score: number;
  readonly name: OtherBleu;
  /** Pairs that entered the mean: fewer than all where that trainer leaves empty predictions out. */
  readonly counted: number;
}

/**
 * The figure that another trainer would print; only the first reference is read, as there.
 * `swift-jieba` needs `segment` to be jieba's: none ships with Attune (its dictionary alone is 5 MB).
 */
export function otherBleu(
  name: OtherBleu,
  predictions: readonly string[],
  references: readonly (readonly string[])[],
  segment?: WordSegmenter,
): OtherBleuScore {
  requireReferences(predictions, references);
  const tokenize = tokenizerOf(name, segment);
  let [sum, counted] = [0, 0];
  for (const [i, prediction] of predictions.entries()) {
    const hypothesis = tokenize(prediction);
    const reference = tokenize(references[i]![0]!);
    if (name !== "llamafactory-char" && (hypothesis.length === 0 || reference.length === 0)) continue;
    const score = 100 * nltkSentenceBleu(hypothesis, [reference]);
    sum += name === "llamafactory-char" ? Math.round(score * 1e4) / 1e4 : score;
    counted += 1;
  }
  return { name, counted, score: counted === 0 ? 0 : sum / counted };
}

function tokenizerOf(
  name: OtherBleu,
  segment: WordSegmenter | undefined,
): (text: string) => readonly string[] {
  switch (name) {
    case "llamafactory-char":
    case "swift-char":
      return (text) => [...text];
    case "swift-jieba":
      if (segment === undefined) throw new RangeError("swift-jieba needs jieba's word segmenter");
      return trimmed(segment);
    case "swift-icu-words":
      return trimmed(icuWords());
  }
}

const trimmed =
  (segment: WordSegmenter): WordSegmenter =>
  (text) =>
    segment(text)
      .map((word) => word.replace(/^ +| +$/g, ""))
      .filter((word) => word !== "");

/** Words by Unicode's rules and ICU's Chinese dictionary, as every JavaScript engine carries them. */
export function icuWords(): WordSegmenter {
  const segmenter = new Intl.Segmenter("zh", { granularity: "word" });
  return (text) => Array.from(segmenter.segment(text), (part) => part.segment);
}

/**
 * Makes jieba-rs (which `@node-rs/jieba` binds) cut as Python's jieba does: that one cuts numbers and Latin words at
 * hyphens. With it 3,018 of 3,018 real English and Chinese replies are cut alike; without, 134 are not.
 */
export function asPythonJieba(cut: WordSegmenter): WordSegmenter {
  return (text) =>
    cut(text).flatMap((word) =>
      word.includes("-") ? word.split(/([a-zA-Z0-9]+(?:\.\d+)?%?)/).filter((part) => part !== "") : [word],
    );
}

/**
 * NLTK's `sentence_bleu` with `SmoothingFunction().method3` and four equal weights.
 * It differs from sacreBLEU's sentence score in one point: an order that the sentence is too short for counts as one
 * missed n-gram and is smoothed, instead of ending the mean.
 * @returns 0–1
 */
export function nltkSentenceBleu(
  hypothesis: readonly string[],
  references: readonly (readonly string[])[],
): number {
  const statistics = ngramStatistics(hypothesis, references, 4);
  const matches = statistics.slice(2, 6);
  if (matches[0] === 0) return 0;
  let halvings = 1;
  let logs = 0;
  for (let order = 0; order < 4; order++) {
    const total = Math.max(1, statistics[6 + order]!);
    if (matches[order] === 0) halvings *= 2;
    logs += 0.25 * Math.log(matches[order] === 0 ? 1 / (halvings * total) : matches[order]! / total);
  }
  const length = hypothesis.length;
  const expected = closestLength(
    length,
    references.map((reference) => reference.length),
  );
  return (length > expected ? 1 : Math.exp(1 - expected / length)) * Math.exp(logs);
}
