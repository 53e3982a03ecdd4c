/** The runtime over onnxruntime-node, which computes in a worker thread so that the caller stays responsive. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Graph,
  GraphBuilder,
  type Node,
  type Pass,
  makePortable,
  optimize,
  printNode,
  shiftInt8,
  viewRows,
} from "../graph/index.ts";
import { encodeModel, writeModel } from "../onnx/index.ts";
import { type Tensor, float32 } from "../tensor/index.ts";
import { UserError, errorMessage, formatBytes } from "../../util/index.ts";
import { physicalCores } from "./cores.ts";
import { checkFeeds, chooseOutputs, refuseStorageTypes } from "./feeds.ts";
import { evaluateNode } from "./reference/index.ts";
import type { SessionSettings, WireFeed, WireTensor } from "./protocol.ts";
import {
  type CompileOptions,
  type DeviceTensor,
  type Feed,
  type Program,
  type RunOptions,
  type RunResult,
  type Runtime,
  isDeviceTensor,
} from "./runtime.ts";
import { type Int8Form, asHeld, asTold, exactProducts } from "./int8-form.ts";
import { Lanes } from "./lanes.ts";
import { WorkerCallError } from "./worker-client.ts";

export type Provider = "cpu" | "webgpu" | "cuda" | "tensorrt" | "dml" | "coreml";

/** Providers where FusedMatMul and QuickGelu would fall back to the CPU. */
const withoutFusedKernels: ReadonlySet<Provider> = new Set(["webgpu", "coreml"]);

export interface OnnxRuntimeOptions {
  /** Threads of one operator; default: the physical cores this process may use. */
  readonly threads?: number;
  /** Execution provider; default `cpu`. */
  readonly provider?: Provider;
  /** How int8 is held; default: so that products of it are exact here. */
  readonly int8?: Int8Form;
}

/** Starts a worker thread and loads onnxruntime in it. A missing binary is a `UserError`. */
export async function onnxRuntime(options: OnnxRuntimeOptions = {}): Promise<Runtime> {
  const { threads = physicalCores(), provider = "cpu" } = options;
  const lanes = new Lanes();
  try {
    const version = await lanes.start();
    const create = (on: Provider, int8: Int8Form): Runtime =>
      new OnnxRuntime(lanes, `onnxruntime ${version} (${on})`, threads, on, int8);
    // Whatever the provider, these products are the processor's.
    const exact = options.int8 !== undefined || (await exactProducts(create("cpu", "int8")));
    const runtime = create(provider, options.int8 ?? (exact ? "int8" : "uint8"));
    if (provider !== "cpu") await tryProvider(runtime, provider);
    return runtime;
  } catch (error) {
    await lanes.terminate();
    throw explain(error, "onnxruntime");
  }
}

/** Compiles and runs one node, so that a provider that cannot work here says so before any real work begins. */
async function tryProvider(runtime: Runtime, provider: Provider): Promise<void> {
  const builder = new GraphBuilder();
  builder.output("y", builder.neg(builder.input("x", "float32", [1])));
  try {
    await using program = await runtime.compile(builder.build(), { name: `a test of ${provider}` });
    await program.run({ x: float32([1], [1]) });
  } catch (error) {
    const [reason] = errorMessage(error)
      .replace(/^.*? was false\. /s, "")
      .split("\n");
    throw new UserError(`onnxruntime cannot use ${provider} on this machine: ${reason}`, {
      next: "Install the driver and libraries that it needs, or compute on the CPU.",
      cause: error,
    });
  }
}

/** As it is held, in memory that can be handed over: a copy, or the tensor's own where it owns a whole buffer and `move` allows. */
function portable(
  { dtype, shape, data }: Tensor,
  int8: Int8Form,
  move: boolean,
): { readonly wire: WireTensor; readonly buffer: ArrayBuffer } {
  const whole = data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength;
  const moved = move && whole ? data : data.slice();
  const wire = asHeld({ dtype, shape: [...shape], data: moved }, int8);
  return { wire, buffer: moved.buffer as ArrayBuffer };
}

class OnnxRuntime implements Runtime {
  readonly name: string;
  readonly threads: number;
  readonly #provider: Provider;
  readonly #lanes: Lanes;
  readonly #int8: Int8Form;
  readonly #live = new Set<DeviceTensor>();
  #nextId = 1;

  constructor(lanes: Lanes, name: string, threads: number, provider: Provider, int8: Int8Form) {
    this.#lanes = lanes;
    this.name = name;
    this.threads = threads;
    this.#provider = provider;
    this.#int8 = int8;
  }

  async upload(tensor: Tensor, options: { readonly transfer?: boolean } = {}): Promise<DeviceTensor> {
    refuseStorageTypes(tensor.dtype);
    const { wire, buffer } = portable(tensor, this.#int8, options.transfer === true);
    const device: DeviceTensor = { dtype: tensor.dtype, shape: wire.shape, id: this.#nextId++ };
    await this.#lanes.upload(device.id, wire, buffer);
    this.#live.add(device);
    return device;
  }

  async download(tensor: DeviceTensor): Promise<Tensor> {
    return asTold(await this.#lanes.download(this.#alive(tensor)), tensor.dtype);
  }

  async release(tensor: DeviceTensor): Promise<void> {
    if (!this.#live.delete(tensor) || this.#lanes.dead) return;
    await this.#lanes.release([tensor.id]);
  }

  async overwrite(tensor: DeviceTensor, data: Tensor): Promise<void> {
    const id = this.#alive(tensor);
    if (data.dtype !== tensor.dtype || data.shape.join() !== tensor.shape.join()) {
      throw new Error(
        `${data.dtype}[${data.shape.join(", ")}] cannot overwrite ${tensor.dtype}[${tensor.shape.join(", ")}]`,
      );
    }
    const { wire, buffer } = portable(data, this.#int8, false);
    await this.#lanes.upload(id, wire, buffer);
  }

  async memory(): Promise<{ readonly peakBytes: number; readonly residentBytes: number }> {
    return {
      peakBytes: process.resourceUsage().maxRSS * 1024,
      residentBytes: process.memoryUsage.rss(),
    };
  }

  #defaultPasses(): readonly Pass[] {
    const pipeline: Pass = (graph) => optimize(graph, evaluateNode);
    return withoutFusedKernels.has(this.#provider) ? [pipeline, makePortable] : [pipeline];
  }

  async compile<In extends string, Out extends string>(
    graph: Graph,
    options: CompileOptions = {},
  ): Promise<Program<In, Out>> {
    const name = options.name ?? "program";
    const passes = options.passes ?? this.#defaultPasses();
    const prepared = passes.reduce((rewritten, pass) => pass(rewritten), graph);
    // Elsewhere a tensor may live where no part of it can be pointed at.
    const { graph: whole, views } =
      this.#provider === "cpu" ? viewRows(prepared) : { graph: prepared, views: [] };
    const fed = this.#int8 === "uint8" ? shiftInt8(whole) : whole;
    // Never more threads than are allowed; and a device of its own is one lane, whose memory is its own.
    const wanted = this.#provider === "cpu" ? Math.min(options.lanes ?? 1, this.threads) : 1;
    const lanes = await this.#lanes.open(Math.max(1, wanted));
    const settings: SessionSettings = {
      threads: Math.max(1, Math.floor(this.threads / lanes)),
      provider: this.#provider,
      memoryPattern: options.memoryPattern ?? false,
      spin: options.spin ?? true,
      ...(options.profile === undefined ? {} : { profile: options.profile }),
    };
    const program = this.#nextId++;
    let folder: string | undefined;
    const dispose = async (): Promise<void> => {
      try {
        if (!this.#lanes.dead) await this.#lanes.each(lanes, (client) => client.call("dispose", { program }));
      } finally {
        if (folder !== undefined) await rm(folder, { recursive: true, force: true }).catch(() => {});
      }
    };
    try {
      const encoding = options.externalFrom === undefined ? {} : { externalFrom: options.externalFrom };
      const { model, external } = encodeModel(fed, encoding);
      if (external === undefined) {
        await this.#lanes.each(lanes, (client) => {
          const copy = lanes === 1 ? model : model.slice();
          return client.call(
            "compile",
            { program, model: copy, views, settings },
            { transfer: [copy.buffer] },
          );
        });
      } else {
        // onnxruntime reads external data only beside a model that is a file.
        folder = await mkdtemp(join(tmpdir(), "attune-"));
        const path = join(folder, "model.onnx");
        await writeModel(fed, path, encoding);
        await this.#lanes.each(lanes, (client) =>
          client.call("compile", { program, model: path, views, settings }),
        );
      }
    } catch (error) {
      // One lane may have made its session before another one failed.
      await dispose().catch(() => {});
      throw explain(error, name, prepared);
    }
    return {
      name,
      inputs: prepared.inputs.map((input) => input.name as In),
      outputs: [...prepared.outputs.keys()] as Out[],
      run: (feeds, runOptions = {}) => {
        const lane = (runOptions.lane ?? 0) % lanes;
        return this.#run({ program, name, graph: prepared, lane }, feeds, runOptions);
      },
      [Symbol.asyncDispose]: dispose,
    };
  }

  async #run<Out extends string>(
    {
      program,
      name,
      graph,
      lane,
    }: { readonly program: number; readonly name: string; readonly graph: Graph; readonly lane: number },
    feeds: Readonly<Record<string, Feed>>,
    options: RunOptions<Out>,
  ): Promise<RunResult<Out>> {
    checkFeeds(name, graph.inputs, feeds);
    const { keep, fetch } = chooseOutputs(name, graph.outputs, options);
    const wire: Record<string, WireFeed> = {};
    const transfer: ArrayBuffer[] = [];
    for (const [input, feed] of Object.entries(feeds)) {
      if (isDeviceTensor(feed)) wire[input] = this.#alive(feed);
      else {
        const moved = portable(feed, this.#int8, false);
        wire[input] = moved.wire;
        transfer.push(moved.buffer);
      }
    }
    const writes = (options.write ?? []).map(({ output, targets, pieces }) => ({
      output,
      targets: targets.map((target) => this.#alive(target)),
      pieces,
    }));
    const ids = Object.fromEntries(keep.map((output) => [output, this.#nextId++]));
    try {
      const {
        outputs,
        kept: results,
        seconds,
      } = await this.#lanes.run(
        lane,
        { program, feeds: wire, fetch, keep: ids, writes },
        {
          transfer,
          signal: options.signal,
          what: name,
          whenAbandoned: () => this.#lanes.forget(lane, Object.values(ids)),
        },
      );
      const kept: Record<string, DeviceTensor> = {};
      for (const output of keep) {
        const { dtype } = graph.outputs.get(output)!;
        const device: DeviceTensor = { dtype, shape: results[output]!.shape, id: ids[output]! };
        this.#live.add(device);
        kept[output] = device;
      }
      const told = Object.fromEntries(
        fetch.map((output) => [output, asTold(outputs[output]!, graph.outputs.get(output)!.dtype)]),
      );
      return { outputs: told, kept, seconds } as RunResult<Out>;
    } catch (error) {
      throw explain(error, name, graph);
    }
  }

  #alive(tensor: DeviceTensor): number {
    if (!this.#live.has(tensor)) {
      throw new Error(
        `the device tensor ${tensor.dtype}[${tensor.shape.join(", ")}] has been released, or belongs to another runtime`,
      );
    }
    return tensor.id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#live.clear();
    await this.#lanes.close();
  }
}

/** An error of onnxruntime as one that names the program, the node, and where possible what to do. */
function explain(error: unknown, program: string, graph?: Graph): unknown {
  if (!(error instanceof WorkerCallError)) return error;
  switch (error.kind) {
    case "binary":
      return new UserError(`onnxruntime cannot be loaded on ${process.platform}-${process.arch}`, {
        next: `Run "npm ci" again on this machine; supported are Linux and Windows (x64, arm64) and macOS (arm64). Cause: ${errorMessage(error)}`,
        cause: error,
      });
    case "memory": {
      const bytes = /buffer of size (\d+)/.exec(error.message)?.[1];
      const need = bytes === undefined ? "" : `: a buffer of ${formatBytes(Number(bytes))} was refused`;
      return new UserError(`not enough memory for ${program}${need}`, {
        next: "Use smaller micro-batches or shorter sequences, or close other programs.",
        cause: error,
      });
    }
    default:
      return new Error(`${program}: ${locate(error.message, graph)}`, { cause: error });
  }
}

/** onnxruntime's words with our node instead of theirs. */
function locate(message: string, graph: Graph | undefined): string {
  const found = /running (\S+) node\. Name:'(.*?)' Status Message: ([\s\S]*)/.exec(message);
  if (found === null) return message.trim();
  const [, op, name, status] = found;
  const node: Node | undefined = graph?.nodes.find(({ outputs }) =>
    outputs.some((value) => value.name === name || graph.outputs.get(name!) === value),
  );
  const where = node === undefined ? `${op} ${name}` : printNode(node);
  return `the node ${where} failed: ${status!.trim()}`;
}
