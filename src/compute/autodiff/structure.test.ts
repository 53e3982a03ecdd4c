/** What reverse mode builds: accumulation, custom gradients, recomputation, and the printed graphs of small cases. */
import { describe, expect, test } from "vitest";
import { type Graph, GraphBuilder, type Value, optimize, printGraph } from "../graph/index.ts";
import { float32 } from "../tensor/index.ts";
import { type Wide, interpret, widen } from "../runtime/index.ts";
import { gradients, recompute, vjp } from "./index.ts";

const feed = (shape: readonly number[], values: readonly number[]): Wide => widen(float32(shape, values));
const total = (g: GraphBuilder, x: Value): Value =>
  g.sum(
    x,
    x.shape.map((_, axis) => axis),
  );
const count = (graph: Graph, op: string): number => graph.nodes.filter((node) => node.op === op).length;

describe("the walk", () => {
  test("a value read several times gets the sum of its cotangents", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const y = g.add(g.mul(x, x), g.mul(x, 3));
    g.output("dx", gradients(g, total(g, y), [x])[0]!);
    expect([...interpret(g.build(), { x: feed([2], [1, -2]) })["dx"]!.data]).toEqual([5, -1]);
  });

  test("gradients by inner values, and by the loss itself", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const inner = g.mul(x, 2);
    const loss = total(g, g.mul(inner, inner));
    gradients(g, loss, [inner, x, loss]).forEach((gradient, i) => g.output(`d${i}`, gradient));
    const { d0, d1, d2 } = interpret(g.build(), { x: feed([2], [1, 3]) });
    expect([...d0!.data, ...d1!.data, ...d2!.data]).toEqual([4, 12, 8, 24, 1]);
  });

  test("no node is added for what needs no gradient", () => {
    const g = new GraphBuilder();
    const frozen = g.input("frozen", "float32", [3, 3]);
    const x = g.input("x", "float32", [2, 3]);
    const loss = total(g, g.matmul(x, g.exp(frozen)));
    const before = g.nodes.length;
    g.output("dx", gradients(g, loss, [x])[0]!);
    // Expand the sum's cotangent, one product.
    expect(g.nodes.slice(before).map(({ op }) => op)).toMatchInlineSnapshot(`
      [
        "Reshape",
        "Expand",
        "FusedMatMul",
      ]
    `);
  });

  test("a parameter that the loss does not depend on is an error, not a zero", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const other = g.input("other", "float32", [2]);
    const loss = total(g, x);
    expect(() => gradients(g, loss, [x, other])).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: the loss ReduceSum_0 does not depend on other]`,
    );
    expect(vjp(g, [loss], [g.constant(float32([], [1]))], [other])).toEqual([undefined]);
  });

  test("a loss with axes, and a cotangent of another shape, are refused with their shapes", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T", 2]);
    expect(() => gradients(g, x, [x])).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: the loss must be a scalar, got x[T, 2]]`,
    );
    const ct = g.input("ct", "float32", [2]);
    expect(() => vjp(g, [g.exp(x)], [ct], [x])).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: the cotangent of Exp_0[T, 2] has the shape [2]]`,
    );
  });

  test("vjp of several outputs, one without a cotangent", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const outputs = [g.mul(x, 2), g.mul(x, 5), g.mul(x, 7)];
    const ct = g.input("ct", "float32", [2]);
    g.output("dx", vjp(g, outputs, [ct, undefined, ct], [x])[0]!);
    expect([...interpret(g.build(), { x: feed([2], [0, 0]), ct: feed([2], [1, 2]) })["dx"]!.data]).toEqual([
      9, 18,
    ]);
  });
});

describe("custom gradients", () => {
  test("of two over the very same nodes the outer one counts", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", []);
    const never = (): never => expect.fail("the inner gradient was asked");
    const [y] = g.custom(
      [x],
      () => g.custom([x], () => [g.exp(x)], never),
      ([ct]) => [g.mul(ct!, 3)],
    );
    expect(gradients(g, y!, [x])).toHaveLength(1);
  });

  test("stand in for the nodes inside, and the outermost wins", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const calls: string[] = [];
    const [y] = g.custom(
      [x],
      () => {
        const [inner] = g.custom(
          [x],
          () => [g.exp(x)],
          ([ct]) => {
            calls.push("inner");
            return [ct];
          },
        );
        return [g.mul(inner!, 2)];
      },
      ([ct]) => {
        calls.push("outer");
        return [g.mul(ct!, 10)];
      },
    );
    g.output("dx", gradients(g, total(g, g.mul(y!, 3)), [x])[0]!);
    expect(calls).toEqual(["outer"]);
    expect([...interpret(g.build(), { x: feed([2], [0, 1]) })["dx"]!.data]).toEqual([30, 30]);
  });

  test("are not asked when nothing arrives or nothing is wanted", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const never = (): never => {
      throw new Error("asked");
    };
    g.custom([x], () => [g.exp(x)], never);
    const constant = g.input("constant", "float32", [2]);
    const [y] = g.custom([constant], () => [g.exp(constant)], never);
    g.output("dx", gradients(g, total(g, g.mul(x, y!)), [x])[0]!);
    expect(count(g.build(), "Exp")).toBe(2);
  });

  test("an inner value that leaks out of one is an error, not a lost gradient", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    let inner: Value;
    const [y] = g.custom(
      [x],
      () => {
        inner = g.exp(x);
        return [g.mul(inner, 2)];
      },
      ([ct]) => [ct],
    );
    const loss = total(g, g.add(y!, inner!));
    expect(() => gradients(g, loss, [x])).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: Exp_0 is read outside its custom gradient, but is none of the outputs Mul_2]`,
    );
  });
});

describe("recompute", () => {
  /** Two blocks x → x + w₂ ⊙ tanh(w₁ ⊙ exp(x) ) with parameters w. */
  function chain(recomputed: boolean): { graph: Graph; feeds: Record<string, Wide> } {
    const g = new GraphBuilder();
    const input = g.input("x", "float32", ["T", 3]);
    const parameters = ["a", "b", "c", "d"].map((name) => g.input(name, "float32", [3]));
    let x = input;
    for (const block of [0, 1]) {
      const [first, second] = parameters.slice(2 * block) as [Value, Value];
      const forward = (inner: Value): Value =>
        g.add(inner, g.mul(second, g.tanh(g.mul(first, g.exp(inner)))));
      if (recomputed) [x] = recompute(g, [x], [first, second], ([inner]) => [forward(inner!)]) as [Value];
      else x = forward(x);
    }
    const loss = total(g, g.mul(x, x));
    g.output("loss", loss);
    gradients(g, loss, [input, ...parameters]).forEach((gradient, i) => g.output(`d${i}`, gradient));
    const numbers = (shape: readonly number[], start: number): Wide =>
      feed(
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(start + i)),
      );
    const feeds = { x: numbers([2, 3], 0) } as Record<string, Wide>;
    parameters.forEach(({ name }, i) => (feeds[name] = numbers([3], 10 * (i + 1))));
    return { graph: g.build(), feeds };
  }

  test("gives the same loss and gradients", () => {
    const kept = chain(false);
    const again = chain(true);
    for (const rewrite of [(graph: Graph) => graph, optimize]) {
      expect(interpret(rewrite(again.graph), again.feeds)).toEqual(interpret(kept.graph, kept.feeds));
    }
  });

  test("what is recomputed is computed twice after every pass, and is all that the backward pass reads", () => {
    const plain = optimize(chain(false).graph);
    const again = optimize(chain(true).graph);
    expect(["Exp", "Tanh", "Barrier"].map((op) => [count(plain, op), count(again, op)])).toEqual([
      [2, 4],
      [2, 4],
      [0, 2],
    ]);
    // Behind the first barrier, values made before it are read only where they are inputs of blocks or weights.
    const first = again.nodes.findIndex(({ op }) => op === "Barrier");
    const made = new Map(
      again.nodes.slice(0, first).flatMap((node) => node.outputs.map((v) => [v, node.op])),
    );
    const read = new Set(again.nodes.slice(first).flatMap(({ inputs }) => inputs.map((v) => made.get(v!))));
    expect([...read].filter((op) => op === "Exp" || op === "Tanh")).toEqual([]);
  });

  test("a block whose output nobody differentiates is not recomputed", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [2]);
    const frozen = g.input("frozen", "float32", [2]);
    const [y] = recompute(g, [frozen], [], ([inner]) => [g.exp(inner!)]);
    g.output("dx", gradients(g, total(g, g.mul(x, y!)), [x])[0]!);
    expect(count(g.build(), "Exp")).toBe(1);
  });
});

describe("printed gradient graphs", () => {
  const printed = (make: (g: GraphBuilder) => readonly [loss: Value, wrt: readonly Value[]]): string => {
    const g = new GraphBuilder();
    const [loss, wrt] = make(g);
    gradients(g, loss, wrt).forEach((gradient, i) => g.output(`d_${wrt[i]!.name}`, gradient));
    return `\n${printGraph(optimize(g.build()))}\n`;
  };

  test("a linear layer: two products, no transpose", () => {
    expect(
      printed((g) => {
        const x = g.input("x", "float32", ["T", 4]);
        const w = g.input("w", "float32", [3, 4]);
        const y = g.matmul(x, w, { transB: true });
        return [total(g, g.mul(y, y)), [x, w]];
      }),
    ).toMatchInlineSnapshot(`
      "
      input x: float32[T, 4]
      input w: float32[3, 4]
      constant c3: float32[] = 1
      FusedMatMul_0: float32[T, 3] = FusedMatMul(x, w, transA=0, transB=1, alpha=1)
      Reshape_4: float32[1, 1] = Reshape(c3, shape=[1, 1])
      Expand_5: float32[T, 3] = Expand(Reshape_4, shape=[T, 3])
      Mul_6: float32[T, 3] = Mul(Expand_5, FusedMatMul_0)
      Add_8: float32[T, 3] = Add(Mul_6, Mul_6)
      MatMul_9: float32[T, 4] = MatMul(Add_8, w)
      FusedMatMul_10: float32[3, 4] = FusedMatMul(Add_8, x, transA=1, transB=0, alpha=1)
      output d_x = MatMul_9
      output d_w = FusedMatMul_10
      "
    `);
  });

  test("a bias: summed over tokens", () => {
    expect(
      printed((g) => {
        const x = g.input("x", "float32", ["T", 4]);
        const b = g.input("b", "float32", [4]);
        return [total(g, g.silu(g.add(x, b))), [b]];
      }),
    ).toMatchInlineSnapshot(`
      "
      input x: float32[T, 4]
      input b: float32[4]
      constant c3: float32[] = 1
      Add_0: float32[T, 4] = Add(x, b)
      QuickGelu_1: float32[T, 4] = QuickGelu(Add_0, alpha=1)
      Reshape_4: float32[1, 1] = Reshape(c3, shape=[1, 1])
      Expand_5: float32[T, 4] = Expand(Reshape_4, shape=[T, 4])
      Sigmoid_6: float32[T, 4] = Sigmoid(Add_0)
      Add_7: float32[T, 4] = Add(Sigmoid_6, QuickGelu_1)
      Mul_8: float32[T, 4] = Mul(QuickGelu_1, Sigmoid_6)
      Sub_9: float32[T, 4] = Sub(Add_7, Mul_8)
      Mul_10: float32[T, 4] = Mul(Expand_5, Sub_9)
      ReduceSum_11: float32[1, 4] = ReduceSum(Mul_10, axes=[0], keepdims=1)
      Reshape_12: float32[4] = Reshape(ReduceSum_11, shape=[4])
      output d_b = Reshape_12
      "
    `);
  });

  test("RMS norm", () => {
    expect(
      printed((g) => {
        const x = g.input("x", "float32", ["T", 4]);
        const scale = g.input("scale", "float32", [4]);
        const y = g.op("SimplifiedLayerNormalization", [x, scale], { axis: -1, epsilon: 1e-5 });
        return [total(g, g.mul(y, y)), [x]];
      }),
    ).toMatchInlineSnapshot(`
      "
      input x: float32[T, 4]
      input scale: float32[4]
      constant c4: float32[] = 1
      SimplifiedLayerNormalization_0: float32[T, 4], SimplifiedLayerNormalization_1: float32[T, 1] = SimplifiedLayerNormalization(x, scale, axis=-1, epsilon=0.00001)
      Reshape_5: float32[1, 1] = Reshape(c4, shape=[1, 1])
      Expand_6: float32[T, 4] = Expand(Reshape_5, shape=[T, 4])
      Mul_7: float32[T, 4] = Mul(Expand_6, SimplifiedLayerNormalization_0)
      Add_9: float32[T, 4] = Add(Mul_7, Mul_7)
      Mul_10: float32[T, 4] = Mul(Add_9, scale)
      Mul_11: float32[T, 4] = Mul(Mul_10, SimplifiedLayerNormalization_1)
      Mul_12: float32[T, 4] = Mul(Mul_11, x)
      ReduceMean_13: float32[T, 1] = ReduceMean(Mul_12, axes=[-1], keepdims=1)
      Mul_14: float32[T, 1] = Mul(SimplifiedLayerNormalization_1, SimplifiedLayerNormalization_1)
      Mul_15: float32[T, 1] = Mul(Mul_14, ReduceMean_13)
      Mul_16: float32[T, 4] = Mul(x, Mul_15)
      Sub_17: float32[T, 4] = Sub(Mul_11, Mul_16)
      output d_x = Sub_17
      "
    `);
  });
});
