/** What every runtime must do, run on each. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CancelledError } from "../../util/index.ts";
import { GraphBuilder } from "../graph/index.ts";
import { type DType, type Tensor, dtypes, float32, int64, scalar, tensor, zeros } from "../tensor/index.ts";
import { type DeviceTensor, type Feed, FeedError, type Runtime } from "./index.ts";

/** y = x · wᵀ / 2 and its row sums; B and D are open. */
function linearGraph() {
  const builder = new GraphBuilder();
  const x = builder.input("x", "float32", ["B", "D"]);
  const w = builder.input("w", "float32", [2, "D"]);
  const y = builder.matmul(x, w, { transB: true, alpha: 0.5 });
  builder.output("y", y);
  builder.output("total", builder.sum(y, [1]));
  return builder.build();
}

/** count + 1, to feed an output back. */
function counterGraph() {
  const builder = new GraphBuilder();
  builder.output("next", builder.add(builder.input("count", "float32", ["N"]), 1));
  return builder.build();
}

const x = float32([3, 2], [1, 2, 3, 4, 5, 6]);
const w = float32([2, 2], [2, 0, 0, 4]);
const numbers = (value: Tensor | undefined): number[] => Array.from(value!.data as Float32Array);

export function runtimeContract(name: string, make: () => Promise<Runtime>): void {
  describe(name, () => {
    let runtime: Runtime;
    beforeAll(async () => {
      runtime = await make();
    });
    afterAll(() => runtime[Symbol.asyncDispose]());

    test("runs a graph whose sizes are open until it is fed", async () => {
      await using program = await runtime.compile(linearGraph());
      expect({ inputs: program.inputs, outputs: program.outputs }).toEqual({
        inputs: ["x", "w"],
        outputs: ["y", "total"],
      });
      const three = await program.run({ x, w });
      expect(numbers(three.outputs.y)).toEqual([1, 4, 3, 8, 5, 12]);
      expect(numbers(three.outputs.total)).toEqual([5, 11, 17]);
      expect(three.kept).toEqual({});
      expect(three.seconds).toBeGreaterThanOrEqual(0);
      const one = await program.run({ x: float32([1, 1], [8]), w: float32([2, 1], [1, 2]) });
      expect(one.outputs.y).toMatchObject({ dtype: "float32", shape: [1, 2] });
      expect(numbers(one.outputs.y)).toEqual([4, 8]);
      const none = await program.run({ x: float32([0, 1], []), w: float32([2, 1], [1, 2]) });
      expect(none.outputs.y).toMatchObject({ shape: [0, 2], data: new Float32Array(0) });
    });

    test("runs in lanes, on tensors that lie with another one", async () => {
      await using program = await runtime.compile(counterGraph(), { lanes: 2 });
      const shared = await runtime.upload(float32([3], [1, 2, 3]));
      const run = async (lane: number, count: Feed): Promise<DeviceTensor> =>
        (await program.run({ count }, { lane, keep: ["next"], fetch: [] })).kept["next"]!;
      const [first, second] = await Promise.all([run(0, shared), run(1, shared)]);
      // Each lane's result goes on in the other one.
      const crossed = await Promise.all([run(1, first), run(0, second)]);
      for (const next of crossed) {
        expect(numbers(await runtime.download(next))).toEqual([3, 4, 5]);
        await runtime.release(next);
      }
      // New data reaches the lane that has read the old.
      await runtime.overwrite(shared, float32([3], [7, 8, 9]));
      const again = await program.run({ count: shared }, { lane: 1 });
      expect(numbers(again.outputs.next)).toEqual([8, 9, 10]);
      const none = await runtime.upload(float32([0], []));
      expect((await program.run({ count: none }, { lane: 1 })).outputs.next).toMatchObject({ shape: [0] });
      for (const held of [shared, none, first, second]) await runtime.release(held);
      await expect(program.run({ count: first }, { lane: 0 })).rejects.toThrow("released");
    });

    test("leaves the caller's arrays alone, and takes views into larger ones", async () => {
      await using program = await runtime.compile(linearGraph());
      const larger = Float32Array.of(9, 9, 1, 2, 9);
      const { outputs } = await program.run({ x: float32([1, 2], larger.subarray(2, 4)), w });
      expect(numbers(outputs.y)).toEqual([1, 4]);
      expect([...larger]).toEqual([9, 9, 1, 2, 9]);
      expect(numbers(w)).toEqual([2, 0, 0, 4]);
    });

    test("shares an uploaded tensor between programs until it is released", async () => {
      const weights = await runtime.upload(w);
      expect(weights).toMatchObject({ dtype: "float32", shape: [2, 2] });
      await using first = await runtime.compile(linearGraph());
      await using second = await runtime.compile(linearGraph());
      for (const program of [first, second, first]) {
        expect(numbers((await program.run({ x, w: weights })).outputs.total)).toEqual([5, 11, 17]);
      }
      await runtime.release(weights);
      await expect(first.run({ x, w: weights })).rejects.toThrow(
        "the device tensor float32[2, 2] has been released, or belongs to another runtime",
      );
      await expect(runtime.download(weights)).rejects.toThrow("has been released");
    });

    test("refuses another runtime's tensor", async () => {
      await using other = await make();
      await using program = await runtime.compile(linearGraph());
      const foreign = await other.upload(w);
      await expect(program.run({ x, w: foreign })).rejects.toThrow("belongs to another runtime");
    });

    test("gives back what was uploaded, in every element type that it can hold", async () => {
      for (const dtype of Object.keys(dtypes) as DType[]) {
        if (dtype === "bfloat16") continue;
        const content = zeros(dtype, [2, 3]);
        content.data[4] = (dtype === "int64" ? 1n : 1) as never;
        const device = await runtime.upload(content);
        expect(await runtime.download(device)).toEqual(content);
        expect(content.data).toHaveLength(6);
        await runtime.release(device);
      }
    });

    test("overwrites a tensor in place, of the same type and shape only", async () => {
      const weights = await runtime.upload(w);
      await using program = await runtime.compile(linearGraph());
      await runtime.overwrite(weights, float32([2, 2], [0, 2, 2, 0]));
      expect(numbers((await program.run({ x, w: weights })).outputs.y)).toEqual([2, 1, 4, 3, 6, 5]);
      await expect(runtime.overwrite(weights, float32([1, 4], [1, 2, 3, 4]))).rejects.toThrow(
        "float32[1, 4] cannot overwrite float32[2, 2]",
      );
      await runtime.release(weights);
    });

    test("keeps outputs on the device and feeds them back", async () => {
      await using program = await runtime.compile(counterGraph());
      let count = await runtime.upload(float32([2], [0, 10]));
      for (let step = 0; step < 3; step++) {
        const { kept, outputs } = await program.run({ count }, { keep: ["next"] });
        expect(outputs).toEqual({});
        await runtime.release(count);
        count = kept.next!;
      }
      expect(count).toMatchObject({ dtype: "float32", shape: [2] });
      expect(numbers(await runtime.download(count))).toEqual([3, 13]);
    });

    test("fetches the outputs that are asked for, kept ones too", async () => {
      await using program = await runtime.compile(linearGraph());
      const some = await program.run({ x, w }, { fetch: ["total"] });
      expect(Object.keys(some.outputs)).toEqual(["total"]);
      const both = await program.run({ x, w }, { keep: ["y"], fetch: ["y"] });
      expect(numbers(both.outputs.y)).toEqual([1, 4, 3, 8, 5, 12]);
      expect(numbers(await runtime.download(both.kept.y!))).toEqual([1, 4, 3, 8, 5, 12]);
      const nothing = await program.run({ x, w }, { fetch: [] });
      expect(nothing).toMatchObject({ outputs: {}, kept: {} });
    });

    test("writes pieces of an output into tensors on the device", async () => {
      await using program = await runtime.compile(linearGraph(), { name: "linear" });
      const caches = [
        await runtime.upload(zeros("float32", [4])),
        await runtime.upload(zeros("float32", [2, 2])),
      ];
      const pieces = Int32Array.of(0, 0, 2, 2, 1, 2, 0, 1, 1, 5, 3, 1);
      const write = [{ output: "y", targets: caches, pieces }];
      const { outputs } = await program.run({ x, w }, { write });
      expect(Object.keys(outputs)).toEqual(["total"]);
      // y is 1 4 3 8 5 12.
      expect(numbers(await runtime.download(caches[0]!))).toEqual([0, 0, 1, 4]);
      expect(numbers(await runtime.download(caches[1]!))).toEqual([3, 0, 0, 12]);
      const next = await program.run({ x: float32([1, 2], [1, 2]), w: caches[1]! });
      expect(numbers(next.outputs.y)).toEqual([1.5, 12]);
      const outside = [{ output: "y", targets: caches, pieces: Int32Array.of(0, 0, 0, 1, 0, 4, 0, 3) }];
      await expect(program.run({ x, w }, { write: outside })).rejects.toThrow(
        "a piece of 3 elements at 4 of the output y (6 elements) does not fit at 0 of its target (4)",
      );
      expect(numbers(await runtime.download(caches[0]!))).toEqual([0, 0, 1, 4]);
      const integers = await runtime.upload(zeros("int64", [4]));
      await expect(
        program.run({ x, w }, { write: [{ output: "y", targets: [integers], pieces }] }),
      ).rejects.toThrow("linear: the output y is float32 and cannot be written into int64");
      for (const tensor of [...caches, integers]) await runtime.release(tensor);
    });

    test("answers each of many calls at once with its own result", async () => {
      await using program = await runtime.compile(counterGraph());
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => program.run({ count: float32([1], [i]) })),
      );
      expect(results.map(({ outputs }) => numbers(outputs.next)[0])).toEqual(
        Array.from({ length: 20 }, (_, i) => i + 1),
      );
    });

    test("refuses what does not fit, naming the input, what it expects and what it got", async () => {
      await using program = await runtime.compile(linearGraph(), { name: "linear" });
      const problem = async (feeds: Record<string, Tensor>, fetch?: string[]): Promise<string> => {
        const error: unknown = await program
          .run(feeds, fetch === undefined ? {} : { fetch })
          .catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(FeedError);
        return (error as Error).message;
      };
      expect(await problem({ x })).toBe("linear: the input w: float32[2, D] is missing");
      expect(await problem({ x: int64([3, 2], [1, 2, 3, 4, 5, 6]), w })).toBe(
        "linear: the input x: float32[B, D] got int64[3, 2]",
      );
      expect(await problem({ x: float32([6], [1, 2, 3, 4, 5, 6]), w })).toBe(
        "linear: the input x: float32[B, D] got float32[6]",
      );
      expect(await problem({ x, w: float32([1, 2], [1, 2]) })).toBe(
        "linear: the input w: float32[2, D] got float32[1, 2]",
      );
      expect(await problem({ x, w: float32([2, 1], [1, 2]) })).toBe(
        "linear: the input w: float32[2, D] got float32[2, 1]; D is 2 in x",
      );
      expect(await problem({ x, w, ww: w })).toBe("linear: there is no input ww; did you mean w?");
      expect(await problem({ x, w }, ["totl"])).toBe("linear: there is no output totl; did you mean total?");
      const short = { dtype: "float32", shape: [3, 2], data: new Float32Array(5) } as const;
      expect(await problem({ x: short, w })).toBe(
        "linear: the input x: float32[B, D] has 5 elements where [3, 2] needs 6",
      );
    });

    test("computes sizes such as P+S from the inputs that carry P and S", async () => {
      const builder = new GraphBuilder();
      const past = builder.input("past", "float32", ["P"]);
      const mask = builder.input("mask", "float32", ["S", "P+S"]);
      const grown = builder.pad(past, 0, 0, "S");
      builder.output("sum", builder.add(mask, builder.expand(grown, ["S", "P+S"])));
      builder.output("flat", builder.reshape(mask, ["P*S+S*S"]));
      await using program = await runtime.compile(builder.build(), { name: "sizes" });
      const { outputs } = await program.run({
        past: float32([1], [7]),
        mask: float32([2, 3], [1, 2, 3, 4, 5, 6]),
      });
      expect(outputs.sum).toMatchObject({ shape: [2, 3] });
      expect(numbers(outputs.sum)).toEqual([8, 2, 3, 11, 5, 6]);
      expect(outputs.flat).toMatchObject({ shape: [6] });
      await expect(
        program.run({ past: float32([2], [7, 7]), mask: float32([2, 3], [1, 2, 3, 4, 5, 6]) }),
      ).rejects.toThrow("the input mask: float32[S, P+S] got float32[2, 3]; P+S is 4");
    });

    test("outputs may be inputs, constants, or one value under two names", async () => {
      const builder = new GraphBuilder();
      const input = builder.input("x", "float32", ["N"]);
      const twice = builder.mul(input, 2);
      builder.output("same", input);
      builder.output("fixed", builder.constant(float32([2], [5, 6])));
      builder.output("a", twice);
      builder.output("b", twice);
      builder.output("c0", builder.add(twice, 1));
      await using program = await runtime.compile(builder.build());
      const { outputs } = await program.run({ x: float32([1], [4]) });
      expect(Object.entries(outputs).map(([key, value]) => [key, ...numbers(value)])).toEqual([
        ["same", 4],
        ["fixed", 5, 6],
        ["a", 8],
        ["b", 8],
        ["c0", 9],
      ]);
    });

    test("int8 goes in, stays and comes out as it is, the same under two names", async () => {
      const builder = new GraphBuilder();
      const codes = builder.input("codes", "int8", ["N"]);
      const made = builder.op(
        "QuantizeLinear",
        [
          builder.cast(codes, "float32"),
          builder.constant(scalar(1)),
          builder.constant(tensor("int8", [], Int8Array.of(-1))),
        ],
        { axis: 0 },
      );
      builder.output("same", codes);
      builder.output("made", made);
      builder.output("again", made);
      await using program = await runtime.compile(builder.build());
      const given = tensor("int8", [4], Int8Array.of(-128, -1, 0, 127));
      const fed = await program.run({ codes: given }, { keep: ["made"], fetch: ["same", "made", "again"] });
      expect([...given.data]).toEqual([-128, -1, 0, 127]);
      expect(fed.outputs["same"]).toMatchObject(given);
      const next = tensor("int8", [4], Int8Array.of(-128, -2, -1, 126));
      expect(fed.outputs).toMatchObject({ made: next, again: next });
      const { made: kept } = fed.kept as Record<string, DeviceTensor>;
      expect(kept!.dtype).toBe("int8");
      expect(await runtime.download(kept!)).toMatchObject(next);
      const { outputs } = await program.run({ codes: kept! });
      expect(outputs["same"]).toMatchObject(next);
      expect([...outputs["made"]!.data]).toEqual([-128, -3, -2, 125]);
    });

    test("refuses to start a run whose signal is aborted, and works on", async () => {
      await using program = await runtime.compile(counterGraph(), { name: "counter" });
      const run = program.run({ count: float32([1], [1]) }, { signal: AbortSignal.abort() });
      await expect(run).rejects.toThrow(CancelledError);
      await expect(run).rejects.toThrow("counter was cancelled");
      expect(numbers((await program.run({ count: float32([1], [1]) })).outputs.next)).toEqual([2]);
    });

    test("tells the memory of the process", async () => {
      const { peakBytes, residentBytes } = await runtime.memory();
      expect(residentBytes).toBeGreaterThan(1e6);
      expect(peakBytes).toBeGreaterThanOrEqual(residentBytes / 2);
    });

    test("an index outside its axis is an error that names the node", async () => {
      const builder = new GraphBuilder();
      const table = builder.input("table", "float32", ["V", 2]);
      builder.output("rows", builder.gather(table, builder.input("ids", "int64", ["T"])));
      await using program = await runtime.compile(builder.build(), { name: "lookup" });
      const feeds = { table: float32([2, 2], [1, 2, 3, 4]), ids: int64([1], [7]) };
      await expect(program.run(feeds)).rejects.toThrow(
        /lookup: the node .*Gather\(table, ids, axis=0\) failed/,
      );
    });

    test("bfloat16 cannot be computed with, and the error says what to do", async () => {
      const half = tensor("bfloat16", [1], Uint16Array.of(0x3f80));
      await expect(runtime.upload(half)).rejects.toThrow("bfloat16 tensors cannot be computed with: convert");
    });
  });
}
