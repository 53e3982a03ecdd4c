/** Every op: onnxruntime and the interpreter give the same results, of the inferred shape and type. */
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Op } from "../graph/index.ts";
import { isFloat } from "../tensor/index.ts";
import { type OpCase, caseGraph, opCases } from "./op-cases/index.contract.ts";
import { interpret, widen } from "./reference/index.ts";
import { type Runtime, onnxRuntime } from "./index.ts";

let runtime: Runtime;
beforeAll(async () => {
  runtime = await onnxRuntime({ threads: 1 });
});
afterAll(() => runtime[Symbol.asyncDispose]());

async function compare(it: OpCase): Promise<void> {
  const { graph, feeds } = caseGraph(it);
  await using program = await runtime.compile(graph, { name: it.op, passes: [] });
  const { outputs } = await program.run(feeds);
  const expected = interpret(
    graph,
    Object.fromEntries(Object.entries(feeds).map(([name, x]) => [name, widen(x)])),
  );
  for (const name of program.outputs) {
    const got = widen(outputs[name]!);
    const want = expected[name]!;
    expect({ dtype: got.dtype, shape: got.shape }).toEqual({ dtype: want.dtype, shape: want.shape });
    const tolerance = isFloat(want.dtype) ? (it.tolerance ?? 1e-5) : 0;
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
      await fc.assert(fc.asyncProperty(opCases[op] as fc.Arbitrary<OpCase>, compare), { numRuns: 25 });
    });
  }
});
