/** Every gradient rule against central differences in float64, over random shapes; and what has no gradient says so. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { random } from "../../util/index.ts";
import { GraphBuilder, GraphError, type Op, type Shape, type Value } from "../graph/index.ts";
import { type Tensor, elementCount, float32, int64, zeros } from "../tensor/index.ts";
import { type OpCase, opCases } from "../runtime/op-cases/index.contract.ts";
import { type Wide, interpret, widen } from "../runtime/index.ts";
import { gradTable, vjp } from "./index.ts";

/** Inputs and outputs through which an op's rule, on purpose, lets nothing flow. */
const constantInputs: { readonly [K in Op]?: readonly number[] } = { RotaryEmbedding: [2, 3], Barrier: [1] };
const silentOutputs: { readonly [K in Op]?: readonly number[] } = { SimplifiedLayerNormalization: [1] };

/** Ops whose rule must know sizes; the refusal of unknown ones is tested below. */
const needKnownSizes: ReadonlySet<Op> = new Set(["Gather", "ScatterND", "SimplifiedLayerNormalization"]);

/** The inputs to differentiate by: float32 and not held constant. */
function variables(it: OpCase): number[] {
  return it.inputs.flatMap((content, i) =>
    content?.dtype === "float32" && constantInputs[it.op]?.includes(i) !== true ? [i] : [],
  );
}

function differentiable(it: OpCase): boolean {
  if (it.op === "Cast" && (it as OpCase<"Cast">).attributes.to !== "float32") return false;
  if (it.op === "ScatterND" && (it as OpCase<"ScatterND">).attributes.reduction !== "add") return false;
  return variables(it).length > 0;
}

interface Built {
  readonly loss: Value;
  readonly inputs: readonly (Value | undefined)[];
}

/** Σ over the op's outputs of Σ output ⊙ weight, with fixed random weights: one scalar that depends on every element. */
function weightedLoss(g: GraphBuilder, it: OpCase, feeds: Record<string, Wide>): Built {
  const symbolic = it.symbolic === true && !needKnownSizes.has(it.op);
  const declare = (shape: readonly number[]): Shape =>
    symbolic ? shape.map((size) => (size > 1 ? `n${size}` : size)) : shape;
  const inputs = it.inputs.map((content, i) => {
    if (content === undefined) return undefined;
    feeds[`x${i}`] = widen(content);
    return g.input(`x${i}`, content.dtype, declare(content.shape));
  });
  const outputs = g.node(it.op, inputs, it.attributes);
  const terms = outputs.flatMap((output, i) => {
    if (output.dtype !== "float32" || silentOutputs[it.op]?.includes(i) === true) return [];
    const weight = g.input(`weight${i}`, "float32", output.shape);
    return [
      g.sum(
        g.mul(output, weight),
        output.shape.map((_, axis) => axis),
      ),
    ];
  });
  return { loss: terms.reduce((a, b) => g.add(a, b)), inputs };
}

function noise(name: string, shape: readonly number[]): Wide {
  const stream = random(1, name);
  const data = Float64Array.from({ length: elementCount(shape) }, () => stream.normal());
  return { dtype: "float32", shape, data };
}

/** Shapes of the op's outputs, from a run without a loss. */
function outputShapes(it: OpCase): readonly (readonly number[])[] {
  const g = new GraphBuilder();
  const feeds: Record<string, Wide> = {};
  const inputs = it.inputs.map((content, i) => {
    if (content === undefined) return undefined;
    feeds[`x${i}`] = widen(content);
    return g.input(`x${i}`, content.dtype, content.shape);
  });
  g.node(it.op, inputs, it.attributes).forEach((output, i) => g.output(`y${i}`, output));
  return Object.values(interpret(g.build(), feeds)).map(({ shape }) => shape);
}

function checkCase(it: OpCase): void {
  const g = new GraphBuilder();
  const feeds: Record<string, Wide> = {};
  const { loss, inputs } = weightedLoss(g, it, feeds);
  g.output("loss", loss);
  outputShapes(it).forEach((shape, i) => {
    if (silentOutputs[it.op]?.includes(i) !== true) feeds[`weight${i}`] = noise(`weight${i}`, shape);
  });
  const forward = g.build();
  const wrt = variables(it);
  const one = g.constant(float32([], [1]));
  const result = vjp(
    g,
    [loss],
    [one],
    wrt.map((i) => inputs[i]!),
  );
  const silent = wrt.filter((_, k) => result[k] === undefined);
  expect(silent, "inputs without a gradient").toEqual([]);
  result.forEach((gradient, k) => g.output(`d${wrt[k]}`, gradient!));
  const gradients = interpret(g.build(), feeds);

  const lossAt = (changed: Record<string, Wide>): number =>
    interpret(forward, { ...feeds, ...changed })["loss"]!.data[0]!;
  for (const i of wrt) {
    const x = feeds[`x${i}`]!;
    const gradient = gradients[`d${i}`]!;
    expect(gradient.shape).toEqual(x.shape);
    // A random direction tests all elements at once, single elements say where.
    const dense = noise(`direction${i}`, x.shape).data;
    const directions = [dense, ...[0, 1, 2].map((n) => unit(x.data.length, (n * 7 + 3) % x.data.length))];
    for (const direction of directions) {
      const h = 1e-6;
      const moved = (step: number): Wide => ({ ...x, data: x.data.map((v, j) => v + step * direction[j]!) });
      const measured = (lossAt({ [`x${i}`]: moved(h) }) - lossAt({ [`x${i}`]: moved(-h) })) / (2 * h);
      const computed = gradient.data.reduce((sum, v, j) => sum + v * direction[j]!, 0);
      const scale = 1 + gradient.data.reduce((sum, v) => sum + Math.abs(v), 0);
      if (!(Math.abs(measured - computed) <= 1e-6 * scale)) {
        expect.fail(`${it.op}, input ${i}: the gradient says ${computed}, differences say ${measured}`);
      }
    }
  }
}

function unit(length: number, at: number): Float64Array {
  const direction = new Float64Array(length);
  direction[at] = 1;
  return direction;
}

const ops = Object.keys(gradTable) as Op[];

describe("gradients equal central differences", () => {
  for (const op of ops.filter((name) => gradTable[name] !== "not differentiable")) {
    test(op, () => {
      const cases = (opCases[op] as fc.Arbitrary<OpCase>).filter(differentiable);
      fc.assert(fc.property(cases, checkCase), { numRuns: 30 });
    });
  }
});

describe("ops without a gradient refuse by name", () => {
  for (const op of ops.filter((name) => gradTable[name] === "not differentiable")) {
    test(op, () => {
      const [it] = fc.sample(opCases[op] as fc.Arbitrary<OpCase>, { numRuns: 1, seed: 1 });
      const g = new GraphBuilder();
      const inputs = it!.inputs.map((x, i) => (x === undefined ? x : g.input(`x${i}`, x.dtype, x.shape)));
      const y = g.op(op, inputs, it!.attributes);
      const cotangent = g.input("ct", y.dtype, y.shape);
      const differentiate = (): unknown => vjp(g, [y], [cotangent], [inputs[0]!]);
      expect(differentiate).toThrow(GraphError);
      expect(differentiate).toThrow(
        `${op} is not differentiable, but ${y.name} stands between the loss and a parameter`,
      );
    });
  }
});

describe("rules that need what they are not given refuse by name", () => {
  const refusal = (make: (g: GraphBuilder) => readonly [y: Value, x: Value]): string => {
    const g = new GraphBuilder();
    const [y, x] = make(g);
    try {
      vjp(g, [y], [g.input("ct", "float32", y.shape)], [x]);
    } catch (error) {
      expect(error).toBeInstanceOf(GraphError);
      return (error as GraphError).message;
    }
    return "no refusal";
  };
  test("sizes that only a run knows", () => {
    expect(
      refusal((g) => {
        const x = g.input("x", "float32", ["T", 3]);
        return [g.mean(x, [0]), x];
      }),
    ).toMatchInlineSnapshot(`"ReduceMean: its gradient needs the size T to be known"`);
    expect(
      refusal((g) => {
        const x = g.input("x", "float32", ["V", 3]);
        return [g.gather(x, g.input("ids", "int64", ["T"])), x];
      }),
    ).toMatchInlineSnapshot(`"Gather: its gradient needs the size V to be known"`);
    expect(
      refusal((g) => {
        const x = g.input("x", "float32", [2, "D"]);
        const scale = g.input("scale", "float32", ["D"]);
        return [g.op("SimplifiedLayerNormalization", [x, scale], { axis: -1, epsilon: 1e-5 }), x];
      }),
    ).toMatchInlineSnapshot(`"SimplifiedLayerNormalization: its gradient needs the size D to be known"`);
    expect(
      refusal((g) => {
        const x = g.input("x", "float32", [4]);
        return [g.pad(x, 0, "P", 0), x];
      }),
    ).toMatchInlineSnapshot(`"Pad by P and 0: its gradient needs known sizes"`);
    expect(
      refusal((g) => {
        const x = g.input("x", "float32", ["A"]);
        return [g.concat([x, g.input("y", "float32", ["B"]), g.input("z", "float32", ["C"])], 0), x];
      }),
    ).toMatchInlineSnapshot(`"Concat: two unknown sizes have no gradient"`);
  });
  test("other kinds of a differentiable op", () => {
    expect(
      refusal((g) => {
        const x = g.input("x", "float32", [4, 2]);
        const rows = g.constant(int64([1, 1], [2]));
        const update = g.input("update", "float32", [1, 2]);
        return [g.op("ScatterND", [x, rows, update], { reduction: "none" }), x];
      }),
    ).toMatchInlineSnapshot(`"ScatterND without reduction add has no gradient"`);
    expect(
      refusal((g) => {
        const x = g.input("x", "float32", [4, 2]);
        const scale = g.constant(zeros("float32", [2]));
        return [g.node("SimplifiedLayerNormalization", [x, scale], { axis: -1, epsilon: 1e-5 })[1]!, x];
      }),
    ).toMatchInlineSnapshot(`"SimplifiedLayerNormalization: 1/rms has no gradient"`);
  });
});

test("ties: a maximum's gradient is shared, never multiplied", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [4]);
  const y = g.input("y", "float32", [4]);
  const one = g.constant(float32([], [1]));
  g.output("dx", vjp(g, [g.reduceMax(x, [0])], [one], [x])[0]!);
  const total = g.sum(g.max(x, y), [0]);
  vjp(g, [total], [one], [x, y]).forEach((gradient, i) => g.output(`d${i}`, gradient!));
  const feed = (values: number[]): Wide => widen(float32([4], values) as Tensor);
  const { dx, d0, d1 } = interpret(g.build(), { x: feed([3, 1, 3, 0]), y: feed([3, 2, 0, 0]) });
  expect([...dx!.data]).toEqual([0.5, 0, 0.5, 0]);
  expect(d0!.data.map((v, i) => v + d1!.data[i]!)).toEqual(Float64Array.of(1, 1, 1, 1));
});
