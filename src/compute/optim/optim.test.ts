/** AdamW with clipping equal to PyTorch's, schedules equal to transformers'. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { uniform } from "../../../test/fixtures/formula-weights.ts";
import { interpret, widen } from "../runtime/index.ts";
import { float32, scalar, tensor } from "../tensor/index.ts";
import { type Schedule, adamWDefaults, adamWGraph, scheduleFactor } from "./index.ts";

const golden = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`../../../test/golden/optim/${name}`, import.meta.url), "utf8")) as T;

interface AdamWCase {
  readonly label: string;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly maxNorm: number | null;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly gradientScale: number;
  readonly norms: readonly number[];
  readonly parameters: readonly number[];
  readonly firstMoment: readonly number[];
  readonly secondMoment: readonly number[];
}

const { elements, steps, cases } = golden<{ elements: number; steps: number; cases: readonly AdamWCase[] }>(
  "adamw.json",
);

/** Steps through the golden run; `factor` divides the rates and multiplies them by element, `accumulated` scales the gradient down. */
function run(it: AdamWCase, factor?: number, accumulated = 1): Record<string, readonly number[]> {
  const perElement = factor !== undefined;
  const graph = adamWGraph(it, { rateFactors: perElement, decayed: perElement });
  const vector = (values: ArrayLike<number>) => float32([elements], values);
  let state = {
    parameters: vector(uniform("parameters", elements)),
    firstMoment: vector(new Float32Array(elements)),
    secondMoment: vector(new Float32Array(elements)),
  };
  const norms: number[] = [];
  for (let step = 1; step <= steps; step++) {
    const rate = (it.learningRate * step) / steps;
    const gradient = uniform(`gradient ${step}`, elements).map((u) => u * it.gradientScale * step);
    const feeds = {
      ...state,
      gradient: vector(gradient.map((value) => value * accumulated)),
      gradientScale: scalar(1 / accumulated),
      rate: scalar(rate / (factor ?? 1)),
      decay: scalar((rate * it.weightDecay) / (factor ?? 1)),
      ...(perElement
        ? {
            rateFactors: vector(new Float32Array(elements).fill(factor)),
            decayed: tensor("bool", [elements], new Uint8Array(elements).fill(1)),
          }
        : {}),
      maxNorm: scalar(it.maxNorm ?? Number.POSITIVE_INFINITY),
      correction1: scalar(1 - it.beta1 ** step),
      correction2: scalar(Math.sqrt(1 - it.beta2 ** step)),
    };
    const wide = Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, widen(value)]));
    const out = interpret(graph, wide);
    norms.push(out["gradientNorm"]!.data[0]!);
    state = {
      parameters: vector(out["nextParameters"]!.data),
      firstMoment: vector(out["nextFirstMoment"]!.data),
      secondMoment: vector(out["nextSecondMoment"]!.data),
    };
  }
  return {
    norms,
    parameters: [...state.parameters.data],
    firstMoment: [...state.firstMoment.data],
    secondMoment: [...state.secondMoment.data],
  };
}

/** Largest difference relative to the largest expected value. */
function gap(got: readonly number[], want: readonly number[]): number {
  const size = Math.max(...want.map(Math.abs));
  return Math.max(...want.map((value, i) => Math.abs(got[i]! - value))) / size;
}

describe("AdamW equals torch.optim.AdamW with clip_grad_norm_", () => {
  test.each(cases)("$label", (it) => {
    for (const got of [run(it), run(it, 4), run(it, undefined, 8)]) {
      for (const name of ["norms", "parameters", "firstMoment", "secondMoment"] as const) {
        expect(gap(got[name]!, it[name]), name).toBeLessThan(1e-6);
      }
    }
  });

  test("the golden cases clip, and do not", () => {
    const active = cases.map(({ norms, maxNorm }) => norms.map((norm) => norm > (maxNorm ?? Infinity)));
    expect(active.map((steps) => steps.filter(Boolean).length)).toEqual([5, 0, 0, 5]);
  });

  test("a gradient of zero with no decay leaves everything as it is", () => {
    const zero = widen(float32([2], [0, 0]));
    const one = (value: number) => widen(scalar(value));
    const out = interpret(adamWGraph(adamWDefaults), {
      parameters: widen(float32([2], [1, -1])),
      gradient: zero,
      firstMoment: zero,
      secondMoment: zero,
      rate: one(0.1),
      decay: one(0),
      gradientScale: one(1),
      maxNorm: one(1),
      correction1: one(0.1),
      correction2: one(0.1),
    });
    expect([...out["nextParameters"]!.data, ...out["nextSecondMoment"]!.data]).toEqual([1, -1, 0, 0]);
  });
});

test("decay spares elements, and rates differ by element", () => {
  const graph = adamWGraph(adamWDefaults, { rateFactors: true, decayed: true });
  const vector = (...values: number[]) => widen(float32([values.length], values));
  const number = (value: number) => widen(scalar(value));
  const out = interpret(graph, {
    parameters: vector(1, 1, 1),
    gradient: vector(0, 0, 0),
    firstMoment: vector(0, 0, 0),
    secondMoment: vector(0, 0, 0),
    rateFactors: vector(1, 1, 2),
    decayed: widen(tensor("bool", [3], Uint8Array.of(1, 0, 1))),
    rate: number(0.1),
    decay: number(0.25),
    gradientScale: number(1),
    maxNorm: number(1),
    correction1: number(0.1),
    correction2: number(0.1),
  });
  expect([...out["nextParameters"]!.data]).toEqual([0.75, 1, 0.5]);
});

describe("schedules equal transformers' get_*_schedule_with_warmup", () => {
  test.each(golden<readonly (Schedule & { readonly factors: readonly number[] })[]>("schedules.json"))(
    "$kind, $warmupSteps of $totalSteps steps warm-up",
    ({ factors, ...schedule }) => {
      const got = factors.map((_, step) => scheduleFactor(schedule, step));
      got.forEach((factor, step) => expect(factor, `step ${step}`).toBeCloseTo(factors[step]!, 12));
    },
  );

  test("past the end the rate stays where it ended", () => {
    const at = (kind: Schedule["kind"]) => scheduleFactor({ kind, warmupSteps: 2, totalSteps: 10 }, 15);
    expect([at("constant"), at("linear"), at("cosine")]).toEqual([1, 0, 0]);
  });
});
