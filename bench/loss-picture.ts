/** The losses of every side of a training benchmark, as a picture and as numbers. */
import { writeFileAtomic } from "../src/util/index.ts";
import { lineChart, standaloneSvg } from "../src/util/html/index.ts";

interface Curve {
  readonly name: string;
  readonly losses: readonly number[];
  readonly validationBefore?: number;
  readonly validationAfter?: number;
  readonly validationAfterOnFloat32?: number;
}

/** Writes `path`, an SVG file, and beside it a `.json` of the same name. Lines are means over ten steps. */
export async function drawLosses(path: string, title: string, curves: readonly Curve[]): Promise<void> {
  const chart = lineChart(
    curves.map(({ name, losses }, tone) => ({
      name,
      points: meansOf(losses, 10),
      tone,
      dashed: tone % 2 === 1,
    })),
    {
      label: `training loss, ${title}`,
      xUnit: "step",
      yUnit: "nats a token",
      width: 900,
      height: 380,
      named: true,
    },
  );
  await writeFileAtomic(path, standaloneSvg(chart));
  const numbers = curves.map(
    ({ losses, name, validationBefore, validationAfter, validationAfterOnFloat32 }) => ({
      name,
      // What is undefined is left out of the file.
      validationBefore,
      validationAfter,
      validationAfterOnFloat32,
      losses,
    }),
  );
  await writeFileAtomic(
    path.replace(/(\.svg)?$/, ".json"),
    `${JSON.stringify({ title, curves: numbers }, null, 1)}\n`,
  );
}

function meansOf(values: readonly number[], width: number): (readonly [number, number])[] {
  return values.map((_, i) => {
    const part = values.slice(Math.max(0, i - width + 1), i + 1);
    return [i + 1, part.reduce((a, b) => a + b, 0) / part.length] as const;
  });
}
