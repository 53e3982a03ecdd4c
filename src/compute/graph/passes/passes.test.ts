/** Each pass by what it makes of a graph, printed, and by the results, which must not change. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { evaluateNode, interpret, widen } from "../../runtime/index.ts";
import { float32 } from "../../tensor/index.ts";
import { random } from "../../../util/index.ts";
import {
  type Graph,
  type Value,
  bindInputs,
  foldConstants,
  fuse,
  makePortable,
  mergeCommonSubexpressions,
  optimize,
  printGraph,
  removeDeadCode,
  simplify,
} from "../index.ts";
import { build, sameResults } from "./passes.testing.ts";

describe("removeDeadCode", () => {
  test("drops what no output needs; inputs stay", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["T"]);
      g.input("unused", "float32", ["T"]);
      g.exp(g.add(x, 5));
      return { y: g.neg(x) };
    });
    expect(printGraph(sameResults(graph, removeDeadCode))).toMatchInlineSnapshot(`
      "input x: float32[T]
      input unused: float32[T]
      Neg_3: float32[T] = Neg(x)
      output y = Neg_3"
    `);
  });

  test("drops tokens that only barriers wait for, and barriers that wait for nothing", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["T"]);
      const needed = g.exp(x);
      const one = g.barrier(g.neg(x), g.log(x));
      return { y: g.add(one, one), z: g.barrier(needed, g.sqrt(x), needed, x) };
    });
    expect(printGraph(sameResults(graph, removeDeadCode))).toMatchInlineSnapshot(`
      "input x: float32[T]
      Exp_0: float32[T] = Exp(x)
      Neg_1: float32[T] = Neg(x)
      Add_4: float32[T] = Add(Neg_1, Neg_1)
      Barrier_r0: float32[T] = Barrier(Exp_0, Exp_0, x)
      output y = Add_4
      output z = Barrier_r0"
    `);
  });
});

describe("mergeCommonSubexpressions", () => {
  test("computes equal expressions once, constants compared by content, attributes in any order", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["T", 2]);
      const one = g.constant(float32([2], [1, 2]), "one");
      const two = g.constant(float32([2], [1, 2]), "two");
      const other = g.constant(float32([2], [1, 3]), "other");
      const a = g.op("ReduceSum", [g.mul(x, one)], { axes: [1], keepdims: 0 });
      const b = g.op("ReduceSum", [g.mul(x, two)], { keepdims: 0, axes: [1] });
      const c = g.op("ReduceSum", [g.mul(x, other)], { keepdims: 0, axes: [1] });
      return { y: g.add(g.add(a, b), c), z: g.op("ReduceSum", [g.mul(x, one)], { axes: [1], keepdims: 1 }) };
    });
    const after = sameResults(graph, (before) => removeDeadCode(mergeCommonSubexpressions(before)));
    expect(printGraph(after)).toMatchInlineSnapshot(`
      "input x: float32[T, 2]
      constant one: float32[2] = {1, 2}
      constant other: float32[2] = {1, 3}
      Mul_0: float32[T, 2] = Mul(x, one)
      ReduceSum_1: float32[T] = ReduceSum(Mul_0, axes=[1], keepdims=0)
      Mul_4: float32[T, 2] = Mul(x, other)
      ReduceSum_5: float32[T] = ReduceSum(Mul_4, keepdims=0, axes=[1])
      Add_6: float32[T] = Add(ReduceSum_1, ReduceSum_1)
      Add_7: float32[T] = Add(Add_6, ReduceSum_5)
      ReduceSum_9: float32[T, 1] = ReduceSum(Mul_0, axes=[1], keepdims=1)
      output y = Add_7
      output z = ReduceSum_9"
    `);
  });

  test("a barrier keeps what stands behind it apart", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["T"]);
      const token = g.input("token", "float32", []);
      const first = g.barrier(x, token);
      const second = g.barrier(x, token);
      return { y: g.add(g.exp(x), g.add(g.exp(first), g.exp(second))) };
    });
    const after = sameResults(graph, mergeCommonSubexpressions);
    expect(after.nodes.map((node) => node.op)).toEqual(graph.nodes.map((node) => node.op));
  });
});

describe("foldConstants", () => {
  test("computes what depends on constants alone, unless it is big or behind a barrier", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["T", 2]);
      const table = g.constant(float32([2, 2], [1, 2, 3, 4]), "table");
      const folded = g.mul(g.transpose(table, [1, 0]), g.exp(g.constant(float32([], [0]))));
      const wide = g.expand(g.constant(float32([1, 2], [1, 2])), [20_000, 2]);
      const open = g.expand(g.constant(float32([1, 2], [1, 2])), ["T", 2]);
      return { y: g.add(g.matmul(x, folded), open), z: g.sum(wide, [0, 1]), b: g.barrier(table, x) };
    });
    const after = sameResults(graph, (before) => removeDeadCode(foldConstants(evaluateNode)(before)));
    expect(printGraph(after)).toMatchInlineSnapshot(`
      "input x: float32[T, 2]
      constant table: float32[2, 2] = {1, 2, 3, 4}
      constant c4: float32[1, 2] = {1, 2}
      constant c_r2: float32[2, 2] = {1, 3, 2, 4}
      Expand_5: float32[20000, 2] = Expand(c4, shape=[20000, 2])
      Expand_6: float32[T, 2] = Expand(c4, shape=[T, 2])
      MatMul_7: float32[T, 2] = MatMul(x, c_r2)
      Add_8: float32[T, 2] = Add(MatMul_7, Expand_6)
      ReduceSum_9: float32[] = ReduceSum(Expand_5, axes=[0, 1], keepdims=0)
      Barrier_10: float32[2, 2] = Barrier(table, x)
      output y = Add_8
      output z = ReduceSum_9
      output b = Barrier_10"
    `);
  });
});

describe("simplify", () => {
  test("neutral elements, where the shape stays", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["T", 2]);
      const row = g.input("row", "float32", [2]);
      const ones = g.constant(float32([3, 2], [1, 1, 1, 1, 1, 1]));
      return {
        a: g.neg(g.div(g.sub(g.mul(1, g.add(x, 0)), 0), 1)),
        b: g.neg(g.neg(x)),
        broadcast: g.mul(row, ones),
        kept: g.sub(0, x),
      };
    });
    expect(printGraph(removeDeadCode(sameResults(graph, simplify)))).toMatchInlineSnapshot(`
      "input x: float32[T, 2]
      input row: float32[2]
      constant c0: float32[3, 2] = {1, 1, 1, 1, …}
      constant c1: float32[] = 0
      Neg_7: float32[T, 2] = Neg(x)
      Mul_10: float32[3, 2] = Mul(row, c0)
      Sub_11: float32[T, 2] = Sub(c1, x)
      output a = Neg_7
      output b = x
      output broadcast = Mul_10
      output kept = Sub_11"
    `);
  });

  test("moves that undo or continue one another; a transpose that moves no element is a reshape", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["B", "S", 6]);
      const there = g.transpose(x, [1, 2, 0]);
      const split = g.reshape(x, ["B*S", 2, 3]);
      return {
        back: g.neg(g.transpose(there, [2, 0, 1])),
        on: g.transpose(there, [1, 0, 2]),
        whole: g.neg(g.reshape(split, ["B", "S", 6])),
        flat: g.reshape(split, ["B*S", 6]),
        ones: g.transpose(g.reshape(x, ["B", 1, "S", 6]), [0, 2, 1, 3]),
        part: g.slice(g.pad(g.op("Cast", [x], { to: "float32" }), 0, 0, 0), 2, 0),
      };
    });
    expect(printGraph(removeDeadCode(sameResults(graph, simplify)))).toMatchInlineSnapshot(`
      "input x: float32[B, S, 6]
      Neg_3: float32[B, S, 6] = Neg(x)
      Transpose_r0: float32[6, S, B] = Transpose(x, perm=[2, 1, 0])
      Neg_6: float32[B, S, 6] = Neg(x)
      Reshape_r1: float32[B*S, 6] = Reshape(x, shape=[B*S, 6])
      Reshape_8: float32[B, 1, S, 6] = Reshape(x, shape=[B, 1, S, 6])
      Reshape_r2: float32[B, S, 1, 6] = Reshape(Reshape_8, shape=[B, S, 1, 6])
      output back = Neg_3
      output on = Transpose_r0
      output whole = Neg_6
      output flat = Reshape_r1
      output ones = Reshape_r2
      output part = x"
    `);
  });

  test("makes no reshape whose sizes no input tells", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", [1, "P+1", "S+1"]);
      return { y: g.transpose(x, [1, 2, 0]) };
    });
    expect(simplify(graph).nodes.map((node) => node.op)).toEqual(["Transpose"]);
  });
});

describe("fuse", () => {
  test("transposes, factors and signs move into the product", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["B", "T", 4]);
      const w = g.input("w", "float32", [5, 4]);
      const k = g.input("k", "float32", ["B", "S", 4]);
      const scores = g.matmul(g.div(x, 2), g.transpose(k, [0, 2, 1]));
      return {
        linear: g.mul(g.matmul(x, w, { transB: true, alpha: 0.5 }), -3),
        plain: g.mul(2, g.matmul(x, g.transpose(w, [1, 0]))),
        scores: g.neg(scores),
        twice: g.matmul(g.transpose(x, [0, 2, 1]), k.shape[1] === "T" ? k : x, { transA: false }),
      };
    });
    expect(printGraph(removeDeadCode(sameResults(graph, fuse)))).toMatchInlineSnapshot(`
      "input x: float32[B, T, 4]
      input w: float32[5, 4]
      input k: float32[B, S, 4]
      FusedMatMul_r1: float32[B, T, 5] = FusedMatMul(x, w, transA=0, transB=1, alpha=-1.5)
      FusedMatMul_r3: float32[B, T, 5] = FusedMatMul(x, w, transA=0, transB=1, alpha=2)
      FusedMatMul_r4: float32[B, T, S] = FusedMatMul(x, k, transA=0, transB=1, alpha=-0.5)
      FusedMatMul_r5: float32[B, 4, 4] = FusedMatMul(x, x, transA=1, transB=0, alpha=1)
      output linear = FusedMatMul_r1
      output plain = FusedMatMul_r3
      output scores = FusedMatMul_r4
      output twice = FusedMatMul_r5"
    `);
  });

  test("leaves products that are read elsewhere, other transposes, and factors that are no numbers", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["B", "T", 4]);
      const w = g.input("w", "float32", [4, 4]);
      const rows = g.constant(float32([4], [1, 2, 3, 4]));
      const y = g.matmul(x, w);
      return {
        y,
        scaled: g.mul(y, 2),
        rows: g.mul(g.matmul(x, w, { alpha: 2 }), rows),
        turned: g.matmul(g.transpose(x, [1, 0, 2]), w),
      };
    });
    expect(printGraph(sameResults(graph, fuse))).toBe(printGraph(graph));
  });

  test("x times its sigmoid is one node, unless the sigmoid is read again", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["T"]);
      const y = g.input("y", "float32", ["T"]);
      const gate = g.sigmoid(y);
      return { silu: g.mul(x, g.sigmoid(x)), left: g.mul(gate, y), gate };
    });
    expect(printGraph(removeDeadCode(sameResults(graph, fuse)))).toMatchInlineSnapshot(`
      "input x: float32[T]
      input y: float32[T]
      Sigmoid_0: float32[T] = Sigmoid(y)
      QuickGelu_r0: float32[T] = QuickGelu(x, alpha=1)
      Mul_3: float32[T] = Mul(Sigmoid_0, y)
      output silu = QuickGelu_r0
      output left = Mul_3
      output gate = Sigmoid_0"
    `);
  });
});

describe("fuse, norms", () => {
  test("a vector behind a norm goes into its weight, unless the norm is read again", () => {
    const graph = build((g) => {
      const norm = (x: Value): Value =>
        g.op("SimplifiedLayerNormalization", [x, g.input(`w${x.name}`, "float32", [4])], {
          axis: -1,
          epsilon: 1e-6,
        });
      const x = g.input("x", "float32", ["T", 4]);
      const y = g.input("y", "float32", ["T", 4]);
      const v = g.input("v", "float32", [4]);
      const kept = norm(y);
      return { once: g.mul(norm(x), v), twice: g.mul(kept, v), kept };
    });
    expect(
      printGraph(removeDeadCode(sameResults(graph, fuse)))
        .split("\n")
        .filter((line) => line.includes(" = ")),
    ).toMatchInlineSnapshot(`
      [
        "SimplifiedLayerNormalization_0: float32[T, 4], SimplifiedLayerNormalization_1: float32[T, 1] = SimplifiedLayerNormalization(y, wy, axis=-1, epsilon=0.000001)",
        "Mul_r0: float32[4] = Mul(wx, v)",
        "SimplifiedLayerNormalization_r1: float32[T, 4], SimplifiedLayerNormalization_r2: float32[T, 1] = SimplifiedLayerNormalization(x, Mul_r0, axis=-1, epsilon=0.000001)",
        "Mul_5: float32[T, 4] = Mul(SimplifiedLayerNormalization_0, v)",
        "output once = SimplifiedLayerNormalization_r1",
        "output twice = Mul_5",
        "output kept = SimplifiedLayerNormalization_0",
      ]
    `);
  });
});

describe("makePortable", () => {
  test("takes onnxruntime's own kernels apart", () => {
    const graph = build((g) => {
      const x = g.input("x", "float32", ["B", "T", 4]);
      return {
        y: g.matmul(x, x, { transB: true, alpha: 0.5 }),
        z: g.op("QuickGelu", [x], { alpha: 1.702 }),
        s: g.silu(x),
      };
    });
    expect(printGraph(sameResults(graph, makePortable))).toMatchInlineSnapshot(`
      "input x: float32[B, T, 4]
      constant c_r2: float32[] = 0.5
      constant c_r4: float32[] = 1.7020000219345093
      Transpose_r0: float32[B, 4, T] = Transpose(x, perm=[0, 2, 1])
      MatMul_r1: float32[B, T, T] = MatMul(x, Transpose_r0)
      Mul_r3: float32[B, T, T] = Mul(MatMul_r1, c_r2)
      Mul_r5: float32[B, T, 4] = Mul(x, c_r4)
      Sigmoid_r6: float32[B, T, 4] = Sigmoid(Mul_r5)
      Mul_r7: float32[B, T, 4] = Mul(x, Sigmoid_r6)
      Sigmoid_r8: float32[B, T, 4] = Sigmoid(x)
      Mul_r9: float32[B, T, 4] = Mul(x, Sigmoid_r8)
      output y = Mul_r3
      output z = Mul_r7
      output s = Mul_r9"
    `);
  });
});

describe("bindInputs", () => {
  const graph = build((g) => ({
    y: g.matmul(g.input("x", "float32", ["T", 2]), g.input("w", "float32", [2, 2])),
  }));

  test("makes constants of inputs", () => {
    const w = float32([2, 2], [1, 2, 3, 4]);
    const bound = bindInputs(graph, new Map([["w", w]]));
    expect(printGraph(bound)).toMatchInlineSnapshot(`
      "input x: float32[T, 2]
      constant w: float32[2, 2] = {1, 2, 3, 4}
      MatMul_0: float32[T, 2] = MatMul(x, w)
      output y = MatMul_0"
    `);
    const x = widen(float32([1, 2], [5, 6]));
    expect(interpret(bound, { x })).toEqual(interpret(graph, { x, w: widen(w) }));
  });

  test("refuses another shape, an open shape and an unknown name", () => {
    const bind = (name: string) => () => bindInputs(graph, new Map([[name, float32([1, 2], [1, 2])]]));
    expect(bind("w")).toThrow("the input w: float32[2, 2] cannot be bound to float32[1, 2]");
    expect(bind("x")).toThrow("the input x: float32[T, 2] cannot be bound to float32[1, 2]");
    expect(bind("v")).toThrow("there is no input v to bind");
  });
});

/** A random graph over [T, 3] values, heavy in what the passes look for. */
function randomGraph(seed: number): Graph {
  const stream = random(seed, "graph");
  return build((g) => {
    const token = g.input("token", "float32", [1]);
    const values = [g.input("x", "float32", ["T", 3]), g.input("w", "float32", ["T", 3])];
    const numbers = [0, 1, -1, 0.5, 2];
    const pick = (): Value => stream.pick(values);
    const steps: (() => Value)[] = [
      () => g.add(pick(), stream.pick(numbers)),
      () => g.mul(stream.pick(numbers), pick()),
      () => g.div(pick(), stream.pick([1, 2])),
      () => g.sub(pick(), pick()),
      () => g.neg(pick()),
      () => g.tanh(pick()),
      () => g.barrier(pick(), token),
      () => {
        const x = pick();
        return g.mul(x, g.sigmoid(x));
      },
      () => g.transpose(g.transpose(pick(), [1, 0]), [1, 0]),
      () => g.reshape(g.reshape(pick(), ["3*T"]), ["T", 3]),
      () => {
        const square = g.matmul(g.transpose(pick(), [1, 0]), g.mul(pick(), stream.pick(numbers)));
        return g.matmul(pick(), g.mul(g.transpose(square, [1, 0]), 0.1), { transB: stream.next() < 0.5 });
      },
      () => g.add(pick(), g.exp(g.constant(float32([3], [stream.integer(2), 0, 1])))),
    ];
    for (let i = 0; i < 12; i++) values.push(g.tanh(stream.pick(steps)()));
    return { last: values.at(-1)!, some: pick(), input: values[0]! };
  });
}

describe("optimize", () => {
  test("changes no result, and gives the same graph every time", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const graph = randomGraph(seed);
        const after = sameResults(graph, (before) => optimize(before, evaluateNode));
        expect(after.nodes.length).toBeLessThanOrEqual(graph.nodes.length);
        expect(printGraph(optimize(randomGraph(seed), evaluateNode))).toBe(printGraph(after));
        sameResults(after, makePortable);
      }),
      { numRuns: 60 },
    );
  });

  test("a long graph keeps its length where nothing can be saved", () => {
    const graph = build((g) => {
      let x = g.input("x", "float32", ["T", 8]);
      const w = g.input("w", "float32", [8, 8]);
      for (let i = 0; i < 2500; i++) x = g.tanh(g.add(g.matmul(x, w), i % 7 === 0 ? 0 : 1 + (i % 5)));
      return { x };
    });
    expect(optimize(graph, evaluateNode).nodes).toHaveLength(7500 - Math.ceil(2500 / 7));
  });
});
