/** Slices as bars: the base in grey, the run in blue. */
import { type Markup, intervalChart } from "../../util/html/index.ts";
import type { SliceFigures } from "../evaluate/index.ts";

export function sliceComparison(
  slices: readonly { readonly name: string; readonly before?: SliceFigures; readonly after: SliceFigures }[],
): Markup {
  const row = (name: string, { rougeL, count }: SliceFigures, tone: number) => ({
    name,
    score: 100 * rougeL.score,
    low: 100 * rougeL.low,
    high: 100 * rougeL.high,
    tone,
    detail: `(${count})`,
  });
  return intervalChart(
    slices
      .slice(0, 8)
      .flatMap(({ name, before, after }) => [
        ...(before === undefined ? [] : [row(`${name} · base`, before, 5)]),
        row(`${name} · run`, after, 0),
      ]),
    { label: "ROUGE-L by slice", unit: "ROUGE-L × 100, 95 % interval (replies)", digits: 1 },
  );
}
