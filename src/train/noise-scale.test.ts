/** The gradient noise scale: by hand, and on gradients whose noise is known. */
import { expect, test } from "vitest";
import { random } from "../util/index.ts";
import { type NoiseScaleState, noNoiseYet, noiseScale, withGradients } from "./noise-scale.ts";

test("by hand: two micro-batches of two replies with gradients (3, 1) and (1, 1)", () => {
  // The batch's gradient is their mean (2, 1). |G_small|² = (10 + 2) / 2 = 6 with 2 replies, |G_big|² = 5 with 4.
  // |G|² = (4 · 5 − 2 · 6) / (4 − 2) = 4; tr(Σ) = (6 − 5) / (1/2 − 1/4) = 4; their ratio is 1 reply.
  const state = withGradients(noNoiseYet, {
    squaredNorm: 5,
    replies: 4,
    parts: [
      { share: 0.5, squaredNorm: 10 / 4 },
      { share: 0.5, squaredNorm: 2 / 4 },
    ],
  });
  expect(state.noise / state.weight).toBeCloseTo(4, 12);
  expect(state.signal / state.weight).toBeCloseTo(4, 12);
  expect(noiseScale(state)).toBeCloseTo(1, 12);
});

test("averages are of numerator and denominator, by exponential decay", () => {
  const step = (squaredNorm: number, parts: readonly number[]) => ({
    squaredNorm,
    replies: 4,
    parts: parts.map((part) => ({ share: 0.5, squaredNorm: part / 4 })),
  });
  // The second step: |G_small|² = 10, |G_big|² = 6: |G|² = 2, tr(Σ) = 16.
  const state = withGradients(withGradients(noNoiseYet, step(5, [10, 2])), step(6, [12, 8]));
  expect(noiseScale(state)).toBeCloseTo((0.95 * 4 + 16) / (0.95 * 4 + 2), 12);
  expect(state.weight).toBeCloseTo(1 - 0.95 ** 2, 12);
});

test("one micro-batch says nothing, and noise without a gradient gives no number", () => {
  const one = { squaredNorm: 5, replies: 4, parts: [{ share: 1, squaredNorm: 5 }] };
  expect(withGradients(noNoiseYet, one)).toBe(noNoiseYet);
  expect(noiseScale(noNoiseYet)).toBeUndefined();
  const drowned = {
    squaredNorm: 1,
    replies: 4,
    parts: [0.5, 0.5].map((share) => ({ share, squaredNorm: 1 })),
  };
  expect(noiseScale(withGradients(noNoiseYet, drowned))).toBeUndefined();
});

test("gradients with known noise, in micro-batches of unlike sizes", () => {
  const dice = random(1, "noise");
  const width = 30;
  const gradient = Array.from({ length: width }, () => dice.normal());
  const deviation = 3;
  const truth = (width * deviation ** 2) / gradient.reduce((sum, g) => sum + g * g, 0);
  const sizes = [1, 2, 3, 6];
  const replies = 12;
  let state: NoiseScaleState = noNoiseYet;
  const found: number[] = [];
  for (let step = 0; step < 3000; step++) {
    const total = new Float64Array(width);
    const parts = sizes.map((size) => {
      const part = new Float64Array(width);
      for (let reply = 0; reply < size; reply++)
        for (let i = 0; i < width; i++) part[i]! += (gradient[i]! + deviation * dice.normal()) / replies;
      for (let i = 0; i < width; i++) total[i]! += part[i]!;
      return { share: size / replies, squaredNorm: part.reduce((sum, g) => sum + g * g, 0) };
    });
    state = withGradients(state, { squaredNorm: total.reduce((sum, g) => sum + g * g, 0), replies, parts });
    if (step > 100) found.push(noiseScale(state)!);
  }
  // The average of about twenty steps wanders by a tenth; its median over 2,900 does not.
  const middle = found.toSorted((a, b) => a - b)[found.length >> 1]!;
  expect(Math.abs(middle / truth - 1)).toBeLessThan(0.05);
});
