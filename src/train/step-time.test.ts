/** Times from work and injected speeds. */
import { expect, test } from "vitest";
import { GraphBuilder } from "../compute/graph/index.ts";
import { type Calibration, factorAt, graphCounters, secondsAt, stepTimes } from "./step-time.ts";

const rates = { operationsPerSecond: { matrix: 100, integer: 400 }, bytesPerSecond: 10, nodeSeconds: 0.5 };
const passes = [
  { seconds: 10, factor: 2 },
  { seconds: 30, factor: 1 },
];

test("products at the speed of their kind, bytes at the memory's, and a moment for each node", () => {
  const work = { operations: { matrix: 200, heads: 0, integer: 800, blocks: 0 }, bytes: 50, nodes: 4 };
  expect(secondsAt(work, rates)).toBe(2 + 2 + 5 + 2);
});

test("what rates leave out lies between what was measured of smaller and larger micro-batches", () => {
  expect(factorAt(passes, 5)).toBe(2);
  expect(factorAt(passes, 20)).toBe(1.5);
  expect(factorAt(passes, 25)).toBe(1.25);
  expect(factorAt(passes, 100)).toBe(1);
});

test("a micro-batch, a measuring pass and an update of graphs counted by hand", () => {
  const product = (): ReturnType<GraphBuilder["build"]> => {
    const g = new GraphBuilder();
    g.output("y", g.matmul(g.input("x", "float32", ["T", 2]), g.input("w", "float32", [2, 5])));
    return g.build();
  };
  const update = new GraphBuilder();
  update.output("y", update.neg(update.input("x", "float32", [25])));
  const counters = graphCounters({ step: product(), measuring: product, update: update.build() });
  const calibration: Calibration = { rates, passes, measuringFactor: 3, updateFactor: 2 };
  const times = stepTimes(counters, calibration);
  const sizes = new Map([["T", 4]]);
  // 80 operations; 8 + 10 + 20 floats; one node.
  const seconds = 0.8 + 15.2 + 0.5;
  expect(times.pass(sizes)).toBeCloseTo(seconds * (2 - (seconds - 10) / 20));
  expect(times.measuring(sizes)).toBeCloseTo(seconds * 3);
  expect(times.updateSeconds).toBeCloseTo((20 + 0.5) * 2);
});
