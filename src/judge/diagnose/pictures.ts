/** The pictures of findings. */
import { type Markup, intervalChart, lineChart } from "../../util/html/index.ts";
import { smoothed } from "./helpers.ts";
import type { Curves } from "./types.ts";

/** Training loss, smoothed over a twentieth of the run, and validation loss; `mark` names a step. */
export function lossCurves(curves: Curves, mark?: { readonly step: number; readonly name: string }): Markup {
  const losses = curves.steps.map(({ loss }) => loss);
  const smooth = smoothed(losses, Math.max(1, Math.round(losses.length / 20)));
  return lineChart(
    [
      { name: "training", tone: 5, points: curves.steps.map(({ step }, i) => [step, smooth[i]!] as const) },
      {
        name: "validation",
        tone: 0,
        points: curves.evaluations.map(({ step, validationLoss }) => [step, validationLoss] as const),
      },
    ],
    {
      label: "training loss (grey) and validation loss (blue) over steps",
      xUnit: "step",
      yUnit: "loss, nats",
      ...(mark === undefined ? {} : { mark: { x: mark.step, name: mark.name } }),
    },
  );
}

/** Shares beside one another, as bars without intervals. */
export function shareBars(
  rows: readonly { readonly name: string; readonly share: number; readonly count?: number }[],
  label: string,
): Markup {
  return intervalChart(
    rows.map(({ name, share, count }, i) => ({
      name,
      score: 100 * share,
      low: 100 * share,
      high: 100 * share,
      tone: i % 6,
      ...(count === undefined ? {} : { detail: `% (${count})` }),
    })),
    { label, unit: `${label}, %`, digits: 1 },
  );
}
