/** A table in 8 bits, block by block, where eight bits are exact: the loss and its gradient are those of a float table. */
import { expect, test } from "vitest";
import { gradients } from "../../compute/autodiff/index.ts";
import { type Graph, GraphBuilder } from "../../compute/graph/index.ts";
import { interpret, widen } from "../../compute/runtime/index.ts";
import { float32, int64, tensor } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import { type Products, crossEntropy, inputWeights, int8Table, peakOfChannel, scope } from "./index.ts";

const [R, D, V] = [5, 6, 11];

function build(block: number, bits: 8 | 32, backward: Products): Graph {
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  const hidden = g.input("hidden", "float32", [R, D]);
  const table = root.at("lm_head").weight("weight", [V, D]);
  const targets = { labels: g.input("labels", "int64", [R]), weights: g.input("weights", "float32", [R]) };
  const reads = bits === 8 ? { reads: int8Table(root.at("lm_head"), V, backward) } : {};
  const loss = crossEntropy(g, hidden, table, targets, { chunks: 1, block, ...reads });
  g.output("loss", loss);
  g.output("dHidden", gradients(g, loss, [hidden])[0]!);
  return g.build();
}

test.each([
  [11, "any", "int8"],
  [4, "any", "int8"],
  // The expected row all but cancels the label's.
  [4, "the likeliest", "int8"],
  [4, "the likeliest", "float32"],
] as const)("blocks of %i rows, labels: %s, backward in %s", (block, labels, backward) => {
  const dice = random(3, "logits");
  const loudness = labels === "any" ? 1 : 6;
  const whole = (): number => Math.round(254 * dice.next()) - 127;
  const codes = Int8Array.from({ length: V * D }, whole);
  const scale = Float32Array.from({ length: V }, () => (1 + dice.next()) / 500);
  const smoothing = Float32Array.from({ length: D }, () => 2 ** Math.round(2 * dice.normal()));
  const all = {
    // Each token's largest is 127 steps, so that its codes are what it was made of.
    hidden: widen(
      float32(
        [R, D],
        Float32Array.from(
          { length: R * D },
          (_, i) => loudness * ((i % D === 2 ? 127 : whole()) / 50) * smoothing[i % D]!,
        ),
      ),
    ),
    "lm_head.weight": widen(
      float32(
        [V, D],
        Float32Array.from(codes, (code, i) => (code * scale[Math.floor(i / D)]!) / smoothing[i % D]!),
      ),
    ),
    "lm_head.weight.int8": widen(tensor("int8", [V, D], codes)),
    "lm_head.weight.scale": widen(float32([V], scale)),
    "lm_head.smoothing": widen(
      float32(
        [D],
        smoothing.map((s) => 1 / s),
      ),
    ),
    labels: widen(int64([R], [3, 0, 10, 4, 7])),
    weights: widen(float32([R], [1, 2, 0.5, 0, 1])),
  };
  const likeliest = Array.from({ length: R }, (_, r) => {
    const logits = Array.from({ length: V }, (_, v) =>
      Array.from({ length: D }).reduce<number>(
        (sum, _, d) => sum + all.hidden.data[r * D + d]! * all["lm_head.weight"].data[v * D + d]!,
        0,
      ),
    );
    return logits.indexOf(Math.max(...logits));
  });
  if (labels === "the likeliest") all.labels = widen(int64([R], likeliest));
  const run = (bits: 8 | 32) => {
    const graph = build(block, bits, backward);
    return interpret(
      graph,
      Object.fromEntries(graph.inputs.map(({ name }) => [name, all[name as keyof typeof all]!])),
    );
  };
  const [exact, rounded] = [run(32), run(8)];
  expect(rounded["loss"]!.data[0]! / exact["loss"]!.data[0]!).toBeCloseTo(1, 5);
  const [want, got] = [exact["dHidden"]!.data, rounded["dHidden"]!.data];
  const gap = Math.hypot(...want.map((value, i) => value - got[i]!)) / Math.hypot(...want);
  // Fifteen bits: the 32,258th of the largest is a step.
  expect(gap).toBeLessThan(5e-5);
});

test("a channel's level counts each token alike, however loud it is, and a silent one for nothing", () => {
  const g = new GraphBuilder();
  g.output("level", peakOfChannel(g, g.input("x", "float32", [3, 2])));
  const x = widen(float32([3, 2], [3, 4, 300, -400, 0, 0]));
  const { level } = interpret(g.build(), { x });
  // Both tokens are (0.6, 0.8) · √2 at an rms of 1.
  expect(level!.data[0]).toBeCloseTo(((2 * 0.72 ** 2) / 3) ** 0.25, 6);
  expect(level!.data[1]).toBeCloseTo(((2 * 1.28 ** 2) / 3) ** 0.25, 6);
});
