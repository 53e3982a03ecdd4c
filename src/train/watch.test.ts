/** Each warning comes when it should, once, and says what to do; an ordinary run gives none. */
import { expect, test } from "vitest";
import { random } from "../util/index.ts";
import type { RunEvent } from "./events.ts";
import { watcher } from "./watch.ts";

interface Numbers {
  readonly loss?: number;
  readonly gradientNorm?: number;
  readonly learningRate?: number;
}

const step = (
  number: number,
  { loss = 2, gradientNorm = 0.5, learningRate = 3e-4 }: Numbers = {},
): Extract<RunEvent, { type: "step" }> => ({
  type: "step",
  step: number,
  epoch: 0,
  loss,
  gradientNorm,
  learningRate,
  replies: 16,
  tokens: 100,
  supervisedTokens: 50,
  peakBytes: 1,
  seconds: 1,
});
const evaluation = (number: number, validationLoss: number): RunEvent => ({
  type: "evaluation",
  step: number,
  validationLoss,
  best: false,
  patienceLeft: 1,
  seconds: 1,
});

function warnings(events: Iterable<RunEvent>): string[] {
  const watch = watcher({ clipNorm: 1 });
  return [...events].flatMap((event) => watch(event).map((warning) => `${warning.step} ${warning.code}`));
}
const messages = (events: Iterable<RunEvent>): string[] => {
  const watch = watcher({ clipNorm: 1 });
  return [...events].flatMap((event) => watch(event).map(({ message }) => message));
};
/** `count` steps of a run that learns, with the noise that batches bring. */
function* ordinary(
  count: number,
  change: (number: number) => Numbers | undefined = () => undefined,
): Generator<RunEvent & { readonly step: number }> {
  const dice = random(1, "watch");
  for (let number = 1; number <= count; number++) {
    const loss = 1.6 + 0.6 * Math.exp(-number / 60) + 0.1 * dice.normal();
    const gradientNorm = 0.5 * Math.exp(0.4 * dice.normal());
    yield step(number, { loss, gradientNorm, ...change(number) });
  }
}

test("an ordinary run is left in peace", () => {
  expect(warnings(ordinary(600))).toEqual([]);
  const evaluated = [...ordinary(300)].flatMap((event, i) =>
    i % 30 === 29 ? [event, evaluation(i + 1, 2 - i / 1000)] : [event],
  );
  expect(warnings([evaluation(0, 2.1), ...evaluated])).toEqual([]);
});

test("a loss spike, and not again at once", () => {
  const spiky = (number: number) =>
    number === 100 || number === 120 || number === 250 ? { loss: 5 } : undefined;
  expect(warnings(ordinary(300, spiky))).toEqual(["100 loss-spike", "250 loss-spike"]);
  expect(messages(ordinary(100, spiky))).toMatchInlineSnapshot(`
    [
      "the loss of step 100 is 5.000; the 50 steps before it had 1.801 on average. One spike that dies away comes from an odd batch; if they return, lower optimizer.learningRate or optimizer.clipNorm.",
    ]
  `);
});

test("an exploding gradient, and one that is always clipped", () => {
  expect(warnings(ordinary(80, (number) => (number === 60 ? { gradientNorm: 40 } : undefined)))).toEqual([
    "60 exploding-gradient",
  ]);
  expect(warnings(ordinary(80, () => ({ gradientNorm: 15 })))).toEqual(["20 always-clipped"]);
});

test("a loss that rises from the first steps on", () => {
  const losses = [2.2, 2.3, 2.2, 2.9, 4, 6, 9, 12];
  const events = losses.map((loss, i) => step(i + 1, { loss }));
  expect(warnings(events)).toEqual(["6 loss-rising"]);
  expect(messages(events)).toMatchInlineSnapshot(`
    [
      "the training loss rose from 2.200 to 6.000 in the first 6 steps: the run is diverging. Start again with a tenth of the learning rate, or a longer warm-up.",
    ]
  `);
  // Noise is not a rise.
  expect(warnings([2.2, 2.3, 2.2, 2.9, 2.1, 3.1, 2, 2.6].map((loss, i) => step(i + 1, { loss })))).toEqual(
    [],
  );
});

test("a loss that rises for good", () => {
  const events = ordinary(200, (number) => (number > 100 ? { loss: 1.8 + (number - 100) / 50 } : undefined));
  const found = warnings(events);
  expect(found.some((warning) => warning.endsWith(" loss-rising"))).toBe(true);
});

test("vanishing gradients, but not while the learning rate is still 0", () => {
  expect(warnings([1, 2, 3, 4, 5, 6].map((n) => step(n, { gradientNorm: 1e-9 })))).toEqual([
    "5 vanishing-gradient",
  ]);
  expect(warnings([1, 2, 3, 4, 5].map((n) => step(n, { gradientNorm: 1e-9, learningRate: 0 })))).toEqual([]);
});

test("a learning rate that does nothing", () => {
  const events = [
    evaluation(0, 2),
    ...[...ordinary(60)].flatMap((event, i) =>
      i % 20 === 19 ? [event, evaluation(i + 1, 2 - i / 1e5)] : [event],
    ),
  ];
  expect(warnings(events)).toEqual(["40 nothing-learned"]);
  expect(messages(events)).toMatchInlineSnapshot(`
    [
      "after 40 steps the validation loss has moved by less than 0.2 % (2.0000 to 1.9996): a learning rate of 0.00030 does next to nothing. Try ten times as much.",
    ]
  `);
});

test("a learning rate that does nothing, in a run that measures nothing", () => {
  const flat = [...ordinary(260)].map((event) => ({ ...event, loss: 2 + (event.step % 7) / 50 }) as RunEvent);
  expect(warnings(flat)).toEqual(["200 nothing-learned"]);
  expect(messages(flat)).toMatchInlineSnapshot(`
    [
      "after 200 steps the training loss is where it began (2.0592 to 2.0604): a learning rate of 0.00030 does next to nothing. Try ten times as much.",
    ]
  `);
});

test("overfitting: validation rises while training falls", () => {
  const events = [...ordinary(100)].flatMap((event, i) =>
    i % 20 === 19 ? [event, evaluation(i + 1, [2, 1.8, 1.9, 1.95, 2][(i - 19) / 20]!)] : [event],
  );
  expect(warnings([evaluation(0, 2.5), ...events])).toEqual(["80 overfitting"]);
});

test("a layer without gradient", () => {
  expect(warnings([{ type: "gradients", step: 9, norms: { a: 0.1, b: 0 } }])).toEqual(["9 dead-layer"]);
  expect(warnings([{ type: "gradients", step: 9, norms: { a: 0.1, b: 0.2 } }])).toEqual([]);
  expect(warnings([{ type: "gradients", step: 9, norms: { a: 0, b: 0 } }])).toEqual([]);
});

test("layers whose gradient vanishes beside the others'", () => {
  const norms = { first: 1e-8, second: 0.01, third: 0.1, fourth: 0.3 };
  const events: RunEvent[] = [{ type: "gradients", step: 9, norms }];
  expect(warnings(events)).toEqual(["9 vanishing-layer"]);
  expect(messages(events)).toMatchInlineSnapshot(`
    [
      "at step 9 the gradient of 1 of 4 layers is less than a hundred thousandth of the usual one, such as first (1.0e-8; usual 0.10): they hardly learn. Check the weights of the model there; a model from scratch may need another initial.deviation.",
    ]
  `);
  expect(warnings([{ type: "gradients", step: 9, norms: { ...norms, first: 1e-5 } }])).toEqual([]);
});

test("a resumed run that replays its events warns as the uninterrupted one does", () => {
  const spiky = (number: number) => (number % 70 === 0 ? { loss: 5, gradientNorm: 60 } : undefined);
  const events = [...ordinary(400, spiky)];
  const whole = warnings(events);
  expect(whole.length).toBeGreaterThan(2);
  for (const cut of [1, 70, 71, 139, 200]) {
    const watch = watcher({ clipNorm: 1 });
    // As they come back from events.jsonl.
    for (const event of events.slice(0, cut)) watch(JSON.parse(JSON.stringify(event)) as RunEvent);
    const rest = events.slice(cut).flatMap((event) => watch(event).map((w) => `${w.step} ${w.code}`));
    expect(rest).toEqual(whole.filter((warning) => Number.parseInt(warning, 10) > cut));
  }
});
