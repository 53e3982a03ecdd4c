/** A chart that stands as a file of its own. */
import { expect, test } from "vitest";
import { lineChart, standaloneSvg } from "./index.ts";

const series = [
  {
    name: "plain",
    tone: 0,
    points: [
      [1, 2],
      [2, 1],
    ],
  },
  {
    name: "<8 bits>",
    tone: 1,
    dashed: true,
    points: [
      [1, 3],
      [2, 2],
    ],
  },
] as const;
const options = { label: "two lines", xUnit: "step", yUnit: "nats" };

test("names its lines where it is asked to, with a sample of each, inside its frame", () => {
  const picture = standaloneSvg(lineChart(series, { ...options, named: true }));
  expect(picture).toContain(">plain</text>");
  expect(picture).toContain(">&lt;8 bits&gt;</text>");
  const samples = [...picture.matchAll(/<path class="([^"]+)" d="M([\d.]+) 8L([\d.]+) 8"/g)];
  expect(samples.map(([, kind]) => kind)).toEqual(["line0", "line1 dashed"]);
  for (const [, , from, to] of samples) {
    expect(Number(from)).toBeGreaterThan(320);
    expect(Number(to)).toBeLessThan(640);
  }
});

test("leaves names to a page's legend otherwise", () => {
  expect(lineChart(series, options).markup).not.toContain(">plain<");
});
