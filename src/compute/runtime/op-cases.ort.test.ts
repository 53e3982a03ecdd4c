/** Every op: onnxruntime and the interpreter give the same results, of the inferred shape and type. */
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { random } from "../../util/index.ts";
import { type Graph, GraphBuilder, type Op } from "../graph/index.ts";
import { type Tensor, isFloat, scalar, zeros } from "../tensor/index.ts";
import { type OpCase, caseGraph, opCases } from "./op-cases/index.contract.ts";
import { interpret, narrow, widen } from "./reference/index.ts";
import { type Runtime, onnxRuntime } from "./index.ts";

let runtime: Runtime;
let shifting: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
  shifting = await onnxRuntime({ threads: 1, int8: "uint8" });
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
  await shifting[Symbol.asyncDispose]();
});

async function compare(it: OpCase, on: Runtime): Promise<void> {
  const { graph, feeds } = caseGraph(it);
  await compareGraph(graph, feeds, it.tolerance ?? 1e-5, on);
}

async function compareGraph(
  graph: Graph,
  feeds: Readonly<Record<string, Tensor>>,
  roundOff: number,
  on = runtime,
): Promise<void> {
  await using program = await on.compile(graph, { passes: [] });
  const { outputs } = await program.run(feeds);
  const expected = interpret(
    graph,
    Object.fromEntries(Object.entries(feeds).map(([name, x]) => [name, widen(x)])),
  );
  for (const name of program.outputs) {
    const got = widen(outputs[name]!);
    const want = expected[name]!;
    expect({ dtype: got.dtype, shape: got.shape }).toEqual({ dtype: want.dtype, shape: want.shape });
    const tolerance = isFloat(want.dtype) ? roundOff : 0;
    for (const [i, value] of want.data.entries()) {
      const gap = Math.abs(got.data[i]! - value);
      if (!(gap <= tolerance * (1 + Math.abs(value)) || Object.is(got.data[i], value))) {
        expect.fail(`${name}[${i}] is ${got.data[i]}, the interpreter says ${value}`);
      }
    }
  }
}

describe("onnxruntime computes what the interpreter does", () => {
  for (const op of Object.keys(opCases) as Op[]) {
    test(op, async () => {
      const cases = opCases[op] as fc.Arbitrary<OpCase>;
      await fc.assert(
        fc.asyncProperty(cases, (it) => compare(it, runtime)),
        { numRuns: 25 },
      );
    });
  }
});

/** Those that read or make int8. */
const int8Ops = [
  "BitwiseAnd",
  "Cast",
  "QuantizeLinear",
  "DequantizeLinear",
  "MatMulInteger",
  "QGemm",
  "DynamicQuantizeMatMul",
] as const satisfies readonly Op[];

describe("so it does where int8 is held as uint8", () => {
  for (const op of int8Ops) {
    test(op, async () => {
      const cases = opCases[op] as fc.Arbitrary<OpCase>;
      await fc.assert(
        fc.asyncProperty(cases, (it) => compare(it, shifting)),
        { numRuns: 25 },
      );
    });
  }
});

test("half precision: float16 in and out of the ops that mixed precision uses", async () => {
  const builder = new GraphBuilder();
  const x = builder.input("x", "float32", ["T", 8]);
  const w = builder.input("w", "float16", [8, 8]);
  const half = builder.cast(x, "float16");
  const y = builder.matmul(half, w, { transB: true, alpha: 0.5 });
  builder.output("product", y);
  builder.output("back", builder.cast(builder.add(builder.silu(y), half), "float32"));
  builder.output("probabilities", builder.softmax(builder.transpose(y, [1, 0])));
  const stream = random(3, "half");
  const draw = (): Float64Array => Float64Array.from({ length: 64 }, () => stream.normal());
  const feeds = {
    x: narrow({ dtype: "float32", shape: [8, 8], data: draw() }),
    w: narrow({ dtype: "float16", shape: [8, 8], data: draw() }),
  };
  await compareGraph(builder.build(), feeds, 5e-3);
});

test("axes without elements", async () => {
  const builder = new GraphBuilder();
  const past = builder.input("past", "float32", ["P", 2, 3]);
  const x = builder.input("x", "float32", ["S", 6]);
  const fresh = builder.reshape(x, ["S", 2, 3]);
  const all = builder.concat([past, fresh], 0);
  builder.output("all", all);
  builder.output("heads", builder.transpose(all, [1, 0, 2]));
  builder.output("flat", builder.reshape(past, ["P", 6]));
  builder.output("folded", builder.reshape(past, ["2*P", 3]));
  builder.output("grown", builder.expand(builder.constant(scalar(3)), ["P", "P+S"]));
  builder.output("sums", builder.sum(past, [1, 2]));
  const feeds = { past: zeros("float32", [0, 2, 3]), x: zeros("float32", [2, 6]) };
  await compareGraph(builder.build(), feeds, 0);
});
