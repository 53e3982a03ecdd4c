/** Precision and recall of the personal-data and sensitive-word rules on labelled lines, English and Chinese. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { personalDetector } from "./personal-detect.ts";
import type { Span } from "./rule.ts";
import { SensitiveWordsOptions, sensitiveEntries, sensitiveFinder } from "./sensitive-words.ts";

interface LabelledSpan extends Span {
  readonly kind: string;
}

interface Line {
  readonly text: string;
  readonly spans: readonly LabelledSpan[];
}

/** Lines mark what is to be found: "my number is ⟦phone:415-555-0132⟧", "you ⟦bad:idiot⟧". */
function labelled(file: string): readonly Line[] {
  const path = join(import.meta.dirname, "..", "..", "..", "test", "golden", "clean", file);
  return readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((row) => {
      const { line } = JSON.parse(row) as { readonly line: string };
      const spans: LabelledSpan[] = [];
      let text = "";
      let from = 0;
      for (const match of line.matchAll(/⟦(\w+):([^⟧]*)⟧/g)) {
        text += line.slice(from, match.index);
        spans.push({ kind: match[1]!, start: text.length, end: text.length + match[2]!.length });
        text += match[2]!;
        from = match.index + match[0].length;
      }
      return { text: text + line.slice(from), spans };
    });
}

interface Score {
  readonly precision: number;
  readonly recall: number;
  readonly found: number;
  readonly wrong: readonly string[];
  readonly missed: readonly string[];
}

function score(
  lines: readonly Line[],
  wanted: (span: LabelledSpan) => boolean,
  find: (text: string) => readonly LabelledSpan[],
  same: (a: LabelledSpan, b: LabelledSpan) => boolean,
): Score {
  let [foundRight, found, labelledRight, labels] = [0, 0, 0, 0];
  const wrong: string[] = [];
  const missed: string[] = [];
  for (const { text, spans } of lines) {
    const truth = spans.filter(wanted);
    const finds = find(text);
    for (const one of finds) {
      found += 1;
      if (truth.some((span) => same(span, one))) foundRight += 1;
      else wrong.push(`${text.slice(one.start, one.end)} in: ${text}`);
    }
    for (const span of truth) {
      labels += 1;
      if (finds.some((one) => same(span, one))) labelledRight += 1;
      else missed.push(`${text.slice(span.start, span.end)} in: ${text}`);
    }
  }
  return { precision: foundRight / found, recall: labelledRight / labels, found, wrong, missed };
}

const detect = personalDetector();
const options = SensitiveWordsOptions.parse({});
const sensitive = sensitiveFinder(sensitiveEntries(options), options.normalise);

const personalScore = (lines: readonly Line[]): Score =>
  score(
    lines,
    ({ kind }) => kind !== "bad",
    detect,
    (a, b) => a.kind === b.kind && a.start === b.start && a.end === b.end,
  );
const sensitiveScore = (lines: readonly Line[]): Score =>
  score(
    lines,
    ({ kind }) => kind === "bad",
    (text) => sensitive.find(text).map(({ start, end }) => ({ kind: "bad", start, end })),
    (a, b) => a.start < b.end && b.start < a.end,
  );

function print(what: string, { precision, recall, found, wrong, missed }: Score): void {
  console.log(
    `${what}: precision ${precision.toFixed(3)}, recall ${recall.toFixed(3)} (${found} finds)` +
      wrong.map((text) => `\n  wrong: ${text}`).join("") +
      missed.map((text) => `\n  missed: ${text}`).join(""),
  );
}

describe("labelled lines", () => {
  const lines = labelled("labelled.jsonl");

  it("are at least 400, with hard negatives among them", () => {
    expect(lines.length).toBeGreaterThanOrEqual(400);
    expect(lines.filter(({ spans }) => spans.length === 0).length).toBeGreaterThanOrEqual(200);
  });

  it("personal data: exact kind and exact span", () => {
    const figures = personalScore(lines);
    print("personal data", figures);
    expect(figures.precision).toBeGreaterThanOrEqual(0.97);
    expect(figures.recall).toBeGreaterThanOrEqual(0.97);
  });

  it("sensitive words: overlapping span", () => {
    const figures = sensitiveScore(lines);
    print("sensitive words", figures);
    expect(figures.precision).toBeGreaterThanOrEqual(0.97);
    expect(figures.recall).toBeGreaterThanOrEqual(0.97);
  });
});

/** Written after the detectors were done, and never tuned on: what to expect of lines nobody has seen. */
describe("held-out lines", () => {
  const lines = labelled("heldout.jsonl");

  it("personal data", () => {
    const figures = personalScore(lines);
    print("personal data, held out", figures);
    expect(figures.precision).toBeGreaterThanOrEqual(0.95);
    expect(figures.recall).toBeGreaterThanOrEqual(0.95);
  });

  it("sensitive words: the starter list is small on purpose, so its recall is lower", () => {
    const figures = sensitiveScore(lines);
    print("sensitive words, held out", figures);
    expect(figures.precision).toBeGreaterThanOrEqual(0.9);
    expect(figures.recall).toBeGreaterThanOrEqual(0.8);
  });
});
