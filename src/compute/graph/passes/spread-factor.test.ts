import { describe, expect, test } from "vitest";
import { scalar, tensor } from "../../tensor/index.ts";
import {
  type Graph,
  type GraphBuilder,
  type Value,
  fuse,
  printGraph,
  removeDeadCode,
  sameShape,
} from "../index.ts";
import { build, sameResults } from "./passes.testing.ts";

/** (codes − 128) · q, with a scale for each of 8 columns. */
function integers(g: GraphBuilder, name: string): Value {
  return g.op(
    "QGemm",
    [
      g.input(`codes.${name}`, "uint8", ["T", 4]),
      g.constant(scalar(1)),
      g.constant(tensor("uint8", [], Uint8Array.of(128))),
      g.input(`q.${name}`, "int8", [4, 8]),
      g.input(`scale.${name}`, "float32", [8]),
      g.constant(tensor("int8", [8], new Int8Array(8))),
    ],
    { transA: 0, transB: 0, alpha: 1 },
  );
}

const step = (g: GraphBuilder, name: string): Value => g.input(name, "float32", ["T", 1]);

/** How often an element-wise op passes over a matrix [T, 8]. */
function passes(graph: Graph): number {
  return graph.nodes.filter(
    ({ op, outputs }) => ["Mul", "Add", "Where"].includes(op) && sameShape(outputs[0]!.shape, ["T", 8]),
  ).length;
}

const spread = (graph: Graph): Graph => removeDeadCode(sameResults(graph, fuse));

describe("a factor of rows or columns", () => {
  test("moves into steps, scales and thin operands", () => {
    const graph = build((g) => {
      const thin = g.matmul(g.input("u", "float32", ["T", 2]), g.input("a", "float32", [2, 8]));
      const turned = g.matmul(g.input("v", "float32", ["T", 2]), g.input("b", "float32", [8, 2]), {
        transB: true,
      });
      const masked = g.where(g.input("mask", "bool", ["T", 8]), turned, 0);
      const first = g.mul(integers(g, "x"), step(g, "s"));
      const sum = g.add(g.add(first, thin), masked);
      return { y: g.mul(g.mul(sum, g.input("w", "float32", [8])), step(g, "r")) };
    });
    expect(passes(graph)).toBe(6);
    const after = spread(graph);
    // The first multiple, two sums and the mask.
    expect(passes(after)).toBe(4);
    expect(printGraph(after)).toMatchInlineSnapshot(`
      "input u: float32[T, 2]
      input a: float32[2, 8]
      input v: float32[T, 2]
      input b: float32[8, 2]
      input mask: bool[T, 8]
      input codes.x: uint8[T, 4]
      input q.x: int8[4, 8]
      input scale.x: float32[8]
      input s: float32[T, 1]
      input w: float32[8]
      input r: float32[T, 1]
      constant c2: float32[] = 0
      constant c4: float32[] = 1
      constant c5: uint8[] = 128
      constant c6: int8[8] = {0, 0, 0, 0, …}
      Mul_r0: float32[8] = Mul(scale.x, w)
      QGemm_r1: float32[T, 8] = QGemm(codes.x, c4, c5, q.x, Mul_r0, c6, transA=0, transB=0, alpha=1)
      Mul_r3: float32[2, 8] = Mul(a, w)
      Reshape_r6: float32[8, 1] = Reshape(w, shape=[8, 1])
      Mul_r7: float32[8, 2] = Mul(b, Reshape_r6)
      Mul_r11: float32[T, 1] = Mul(s, r)
      Mul_r12: float32[T, 8] = Mul(QGemm_r1, Mul_r11)
      Mul_r13: float32[T, 2] = Mul(u, r)
      FusedMatMul_r14: float32[T, 8] = FusedMatMul(Mul_r13, Mul_r3, transA=0, transB=0, alpha=1)
      Add_r15: float32[T, 8] = Add(Mul_r12, FusedMatMul_r14)
      Mul_r16: float32[T, 2] = Mul(v, r)
      FusedMatMul_r17: float32[T, 8] = FusedMatMul(Mul_r16, Mul_r7, transA=0, transB=1, alpha=1)
      Where_r18: float32[T, 8] = Where(mask, FusedMatMul_r17, c2)
      Add_r19: float32[T, 8] = Add(Add_r15, Where_r18)
      output y = Add_r19"
    `);
  });

  test("stays where an operand has no room, or where what it multiplies is read again", () => {
    const graph = build((g) => {
      const wide = g.matmul(g.input("u", "float32", ["T", 4]), g.input("a", "float32", [4, 8]));
      const w = g.input("w", "float32", [8]);
      const read = g.mul(integers(g, "y"), step(g, "s"));
      // Integers carry columns, but rows only where their step is.
      const rows = g.mul(integers(g, "z"), step(g, "r"));
      const half = g.add(g.mul(integers(g, "x"), step(g, "p")), wide);
      return {
        wide: g.mul(half, w),
        read,
        again: g.mul(read, w),
        rows,
        sum: g.mul(g.sum(rows, [0], true), w),
      };
    });
    const kept = graph.nodes.map(({ op }) => op);
    expect(spread(graph).nodes.map(({ op }) => op)).toEqual(kept);
  });
});
