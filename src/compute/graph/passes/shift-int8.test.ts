/** int8 in another form: the same results of every op, and not one node more where a layer reads its codes. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type OpCase, caseGraph, opCases } from "../../runtime/op-cases/index.contract.ts";
import { interpret, widen } from "../../runtime/index.ts";
import { type Tensor, float32, shiftBytes, tensor } from "../../tensor/index.ts";
import { type Graph, type Op, printGraph, shiftInt8 } from "../index.ts";
import { build } from "./passes.testing.ts";

function isInt8({ dtype }: { readonly dtype: string }): boolean {
  return dtype === "int8";
}

/** A copy of an int8 tensor around 128. */
function shifted(x: Tensor): Tensor {
  return isInt8(x) ? shiftBytes({ ...x, data: x.data.slice() }) : x;
}

function run(graph: Graph, feeds: Readonly<Record<string, Tensor>>): ReturnType<typeof interpret> {
  return interpret(graph, Object.fromEntries(Object.entries(feeds).map(([name, x]) => [name, widen(x)])));
}

/** Both graphs give the same numbers; 128 more where the result is int8. */
function sameNumbers(graph: Graph, feeds: Readonly<Record<string, Tensor>>): void {
  const other = shiftInt8(graph);
  for (const { dtype } of other.inputs) expect(dtype).not.toBe("int8");
  const got = run(other, Object.fromEntries(Object.entries(feeds).map(([name, x]) => [name, shifted(x)])));
  for (const [name, { dtype, data }] of Object.entries(run(graph, feeds))) {
    const want = isInt8({ dtype }) ? data.map((value) => value + 128) : data;
    expect([...got[name]!.data]).toEqual([...want]);
    expect(got[name]!.dtype).toBe(isInt8({ dtype }) ? "uint8" : dtype);
  }
}

describe("shiftInt8 leaves the results of", () => {
  for (const op of Object.keys(opCases) as Op[]) {
    test(op, () => {
      fc.assert(
        fc.property(opCases[op] as fc.Arbitrary<OpCase>, (it) => {
          const { graph, feeds } = caseGraph(it);
          sameNumbers(graph, feeds);
        }),
        { numRuns: 20 },
      );
    });
  }

  test("ops that move what they read, constants and outputs of int8", () => {
    const graph = build((g) => {
      const codes = g.input("codes", "int8", [4, 3]);
      const token = g.input("token", "float32", ["T"]);
      const constant = g.constant(tensor("int8", [1, 3], Int8Array.of(-128, 0, 127)));
      const rows = g.slice(g.barrier(codes, token), 0, 1, 3);
      const all = g.transpose(
        g.concat([rows, constant, g.gather(codes, g.input("at", "int64", [2]))], 0),
        [1, 0],
      );
      const grown = g.expand(g.reshape(all, [1, 15]), [2, 15]);
      return { codes, grown, numbers: g.cast(grown, "float32"), constant };
    });
    sameNumbers(graph, {
      codes: tensor("int8", [4, 3], Int8Array.of(-128, -127, -1, 0, 1, 2, 3, 126, 127, 5, -6, 7)),
      token: float32([1], [0]),
      at: tensor("int64", [2], BigInt64Array.of(3n, 0n)),
    });
  });
});

test("codes and their zeros change, and nothing is added; a zero that went without saying is said", () => {
  const graph = build((g) => {
    const x = g.input("x", "uint8", ["T", 4]);
    const q = g.input("q", "int8", [6, 4]);
    const scale = g.input("scale", "float32", [6]);
    const [one, zero] = [g.constant(float32([], [1])), g.constant(tensor("uint8", [], Uint8Array.of(128)))];
    const zeros = g.constant(tensor("int8", [6], new Int8Array(6)));
    return {
      product: g.op("QGemm", [x, one, zero, q, scale, zeros], { transA: 0, transB: 1, alpha: 1 }),
      floats: g.op("DequantizeLinear", [q, scale], { axis: 0, block_size: 0 }),
    };
  });
  expect(printGraph(shiftInt8(graph))).toMatchInlineSnapshot(`
    "input x: uint8[T, 4]
    input q: uint8[6, 4]
    input scale: float32[6]
    constant c0: float32[] = 1
    constant c1: uint8[] = 128
    constant c2: uint8[6] = {128, 128, 128, 128, …}
    constant c_r0: uint8[1] = {128}
    QGemm_3: float32[T, 6] = QGemm(x, c0, c1, q, scale, c2, transA=0, transB=1, alpha=1)
    Expand_r1: uint8[6] = Expand(c_r0, shape=[6])
    DequantizeLinear_4: float32[6, 4] = DequantizeLinear(q, scale, Expand_r1, axis=0, block_size=0)
    output product = QGemm_3
    output floats = DequantizeLinear_4"
  `);
});
