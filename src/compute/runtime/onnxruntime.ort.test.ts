/** onnxruntime keeps the contract of a runtime; what only it can do or suffer. */
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CancelledError, UserError } from "../../util/index.ts";
import { GraphBuilder } from "../graph/index.ts";
import { float32, tensor, zeros } from "../tensor/index.ts";
import { type Runtime, onnxRuntime } from "./index.ts";
import { runtimeContract } from "./runtime.contract.ts";
import { sharedMemory } from "./shared-memory.ts";
import { WorkerClient } from "./worker-client.ts";

runtimeContract("onnxruntime", () => onnxRuntime({ threads: 1 }));
runtimeContract("onnxruntime in two threads", () => onnxRuntime({ threads: 2 }));
runtimeContract("onnxruntime that holds int8 as uint8", () => onnxRuntime({ threads: 2, int8: "uint8" }));

/** A chain of square products: a run that takes a while. */
function slowGraph(products: number) {
  const builder = new GraphBuilder();
  let x = builder.input("x", "float32", ["N", "N"]);
  for (let i = 0; i < products; i++) x = builder.matmul(x, x, { alpha: 0.001 });
  builder.output("y", builder.sum(x, [0, 1]));
  return builder.build();
}

describe("onnxruntime in its thread", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await onnxRuntime({ threads: 1 });
  });
  afterAll(() => runtime[Symbol.asyncDispose]());

  test("names itself and uses the physical cores unless told otherwise", async () => {
    expect(runtime.name).toMatch(/^onnxruntime \d+\.\d+\.\d+ \(cpu\)$/);
    expect(runtime.threads).toBe(1);
    await using other = await onnxRuntime();
    expect(other.threads).toBeGreaterThan(0);
  });

  test("the caller's event loop turns during a run", async () => {
    await using program = await runtime.compile(slowGraph(40));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await program.run({ x: zeros("float32", [512, 512]) });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(1);
  });

  test("a lane does not wait for another one, where there are threads for both", async (context) => {
    if ((await sharedMemory()) === undefined)
      context.skip("koffi has no binary here: lanes follow one another");
    await using two = await onnxRuntime({ threads: 2 });
    await using program = await two.compile(slowGraph(40), { lanes: 2 });
    const settled: string[] = [];
    const run = async (name: string, size: number, lane: number): Promise<void> => {
      await program.run({ x: zeros("float32", [size, size]) }, { lane });
      settled.push(name);
    };
    await Promise.all([run("long", 512, 0), run("short", 4, 1)]);
    expect(settled).toEqual(["short", "long"]);
  });

  test("a run that is cancelled rejects at once, and the runtime works on", async () => {
    await using program = await runtime.compile(slowGraph(20), { name: "slow" });
    const x = await runtime.upload(zeros("float32", [512, 512]));
    const controller = new AbortController();
    const settled: string[] = [];
    const before = program.run({ x }).then(() => settled.push("before"));
    const cancelled = program
      .run({ x }, { signal: controller.signal, keep: ["y"] })
      .catch((error: unknown) => {
        settled.push("cancelled");
        throw error;
      });
    const rejected = expect(cancelled).rejects.toThrow(CancelledError);
    controller.abort();
    await rejected;
    await before;
    expect(settled).toEqual(["cancelled", "before"]);
    expect((await program.run({ x })).outputs.y).toMatchObject({ shape: [] });
  });

  test("moves memory into the thread where asked", async () => {
    const moved = zeros("float32", [1000]);
    const device = await runtime.upload(moved, { transfer: true });
    expect(moved.data).toHaveLength(0);
    expect((await runtime.download(device)).data).toHaveLength(1000);
    // A view owns no memory of its own, so it is copied.
    const whole = new Float32Array(10);
    await runtime.upload(float32([2], whole.subarray(2, 4)), { transfer: true });
    expect(whole).toHaveLength(10);
  });

  test("takes memory that threads share by copying it", async () => {
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([1, 2]);
    const device = await runtime.upload({
      dtype: "float32",
      shape: [2],
      data: shared as unknown as Float32Array,
    });
    expect([...(await runtime.download(device)).data]).toEqual([1, 2]);
  });

  test("big constants travel in a file beside the model", async () => {
    const builder = new GraphBuilder();
    const table = builder.constant(
      float32(
        [1000],
        Float32Array.from({ length: 1000 }, (_, i) => i),
      ),
    );
    builder.output("y", builder.add(table, builder.input("x", "float32", [])));
    const program = await runtime.compile(builder.build(), { externalFrom: 100 });
    const { outputs } = await program.run({ x: float32([], [0.5]) });
    expect(outputs.y!.data[999]).toBe(999.5);
    await program[Symbol.asyncDispose]();
  });

  test("no memory is a UserError that says how much was refused", async () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", "float32", ["A", "B"]);
    builder.output(
      "y",
      builder.sum(builder.expand(builder.reshape(x, ["A*B", 1]), ["A*B", "A*A*B*B"]), [0, 1]),
    );
    await using program = await runtime.compile(builder.build(), { name: "too big", passes: [] });
    const error: unknown = await program
      .run({ x: zeros("float32", [64, 64]) })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toBe(
      "not enough memory for too big: a buffer of 256 GiB was refused. Use smaller micro-batches or shorter sequences, or close other programs.",
    );
    expect((await program.run({ x: zeros("float32", [1, 2]) })).outputs.y).toMatchObject({ shape: [] });
  });

  test("a provider that is not there is a UserError before any work begins", async () => {
    const error: unknown = await onnxRuntime({ provider: "tensorrt" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(
      /^onnxruntime cannot use tensorrt on this machine: .*\. Install the driver and libraries that it needs, or compute on the CPU\.$/,
    );
  });

  test("rows of an input are read where they lie, of any type, uploaded or not", async () => {
    const builder = new GraphBuilder();
    const floats = builder.input("floats", "float32", [4, 3]);
    const bytes = builder.input("bytes", "int8", [5, 2]);
    const halves = builder.input("halves", "float16", [3, 2]);
    builder.output("floatsRead", builder.neg(builder.slice(floats, 0, 1, 3)));
    builder.output("bytesRead", builder.cast(builder.slice(bytes, 0, 3), "float32"));
    builder.output("halvesRead", builder.cast(builder.slice(halves, 0, 2, 3), "float32"));
    await using program = await runtime.compile(builder.build());
    expect(program.inputs).toEqual(["floats", "bytes", "halves"]);
    // Neither begins where its buffer does.
    const shifted = new Float32Array(14).map((_, i) => i).subarray(2);
    const feeds = {
      floats: float32([4, 3], shifted),
      bytes: await runtime.upload(
        tensor(
          "int8",
          [5, 2],
          Int8Array.from({ length: 10 }, (_, i) => i - 5),
        ),
      ),
      halves: await runtime.upload(tensor("float16", [3, 2], Uint16Array.of(0, 0, 0, 0, 0x3c00, 0xc000))),
    };
    const { outputs } = await program.run(feeds);
    expect([...outputs["floatsRead"]!.data]).toEqual([-5, -6, -7, -8, -9, -10]);
    expect([...outputs["bytesRead"]!.data]).toEqual([1, 2, 3, 4]);
    expect([...outputs["halvesRead"]!.data]).toEqual([1, -2]);
    await runtime.overwrite(feeds.bytes, tensor("int8", [5, 2], new Int8Array(10).fill(7)));
    expect([...(await program.run(feeds)).outputs["bytesRead"]!.data]).toEqual([7, 7, 7, 7]);
  });

  test("a profile is written when the program is disposed", async () => {
    const folder = await mkdtemp(join(tmpdir(), "attune-test-"));
    const program = await runtime.compile(slowGraph(1), { profile: join(folder, "trace") });
    await program.run({ x: zeros("float32", [2, 2]) });
    await program[Symbol.asyncDispose]();
    const [file] = await readdir(folder);
    expect(await readFile(join(folder, file!), "utf8")).toContain("FusedMatMul");
    await rm(folder, { recursive: true });
  });

  test("a model that onnxruntime refuses names the program", async () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", "int32", [2, 2]);
    builder.output("y", builder.op("Softmax", [x], { axis: 0 }));
    await expect(runtime.compile(builder.build(), { name: "refused" })).rejects.toThrow(
      /^refused: .*Softmax/,
    );
  });

  test("a disposed runtime refuses further calls and disposes twice without harm", async () => {
    const other = await onnxRuntime({ threads: 1 });
    const device = await other.upload(float32([1], [1]));
    const program = await other.compile(slowGraph(1));
    await other[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    await expect(other.upload(float32([1], [1]))).rejects.toThrow("this runtime has been disposed");
    await program[Symbol.asyncDispose]();
    await other.release(device);
  });

  test("a thread that dies rejects every call that waits, and later ones", async () => {
    const client = new WorkerClient();
    // Loading onnxruntime takes long enough for both to be waiting still.
    const waiting = [client.call("start", {}), client.call("close", {})];
    const checks = waiting.map((call) => expect(call).rejects.toThrow(/the onnxruntime worker thread ended/));
    await client.terminate();
    await Promise.all(checks);
    await expect(client.call("start", {})).rejects.toThrow("this runtime cannot be used any more");
    expect(client.dead).toBe(true);
  });
});
