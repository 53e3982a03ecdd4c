/** The evaluation as pictures: one SVG file a question, and the same charts for the report. */
import {
  type IntervalRow,
  type Markup,
  intervalChart,
  lineChart,
  standaloneSvg,
} from "../../util/html/index.ts";
import { excerpt } from "../../util/index.ts";
import type { Interval } from "../metrics/index.ts";
import type { Evaluation, SliceFigures } from "./types.ts";

/** The colour of a system is its place in the evaluation. */
const toneOf = (index: number): number => index % 6;

const row = (name: string, { score, low, high }: Interval, tone: number, scale = 1): IntervalRow => ({
  name,
  score: score * scale,
  low: low * scale,
  high: high * scale,
  tone,
});

export function metricChart(evaluation: Evaluation, metric: "bleu4" | "rougeL" | "perplexity"): Markup {
  const rows = evaluation.systems.flatMap((system, i) => {
    const interval = metric === "perplexity" ? system.perplexity : system.metrics[metric];
    return interval === undefined
      ? []
      : [row(system.name, interval, toneOf(i), metric === "rougeL" ? 100 : 1)];
  });
  const names = { bleu4: "BLEU-4", rougeL: "ROUGE-L × 100", perplexity: "perplexity (lower is better)" };
  return intervalChart(rows, {
    label: `${names[metric]} by system, with 95 % intervals`,
    unit: `${names[metric]}, 95 % interval`,
    digits: 2,
  });
}

const sliceNames: { readonly [B in SliceFigures["by"]]: string } = {
  intent: "intent",
  depth: "turn of the dialogue",
  length: "words of the reference",
  seen: "whether training holds the reply",
  script: "script",
};

/** BLEU-4 of every slice of one kind, systems side by side; at most a dozen slices. */
export function sliceChart(evaluation: Evaluation, by: SliceFigures["by"]): Markup {
  const names = new Set(
    evaluation.systems.flatMap(({ slices }) => slices.filter((s) => s.by === by).map((s) => s.name)),
  );
  const rows = [...names].slice(0, 12).flatMap((name) =>
    evaluation.systems.flatMap((system, i) => {
      const slice = system.slices.find((candidate) => candidate.by === by && candidate.name === name);
      return slice === undefined
        ? []
        : [
            {
              ...row(`${excerpt(name, 14)} · ${system.name}`, slice.bleu4, toneOf(i)),
              detail: `(${slice.count})`,
            },
          ];
    }),
  );
  return intervalChart(rows, {
    label: `BLEU-4 by ${sliceNames[by]}`,
    unit: `BLEU-4 by ${sliceNames[by]}, 95 % interval (replies)`,
    digits: 1,
  });
}

/** BLEU-4 over turn depth, a line a system. */
export function depthChart(evaluation: Evaluation): Markup {
  const places: Readonly<Record<string, number>> = { "1–2": 1.5, "3–5": 4, "6+": 7 };
  return lineChart(
    evaluation.systems.map(({ name, slices }, i) => ({
      name,
      tone: toneOf(i),
      dots: true,
      points: slices
        .filter(({ by }) => by === "depth")
        .map((slice) => [places[slice.name] ?? 0, slice.bleu4.score] as const),
    })),
    { label: "BLEU-4 by turn depth", xUnit: "turn of the dialogue", yUnit: "BLEU-4", fromZero: true },
  );
}

/** Every picture by its file name. */
export function evaluationPictures(evaluation: Evaluation): ReadonlyMap<string, string> {
  const kinds = ["depth", "length", "seen", "intent"] as const;
  return new Map([
    ["bleu4.svg", standaloneSvg(metricChart(evaluation, "bleu4"))],
    ["rouge-l.svg", standaloneSvg(metricChart(evaluation, "rougeL"))],
    ["perplexity.svg", standaloneSvg(metricChart(evaluation, "perplexity"))],
    ...kinds.map((by) => [`by-${by}.svg`, standaloneSvg(sliceChart(evaluation, by))] as const),
  ]);
}
