/** The interpreter as a runtime: for tests, for small graphs, and where onnxruntime is not installed. */
import type { Graph } from "../../graph/index.ts";
import type { Tensor } from "../../tensor/index.ts";
import { CancelledError } from "../../../util/index.ts";
import { checkFeeds, chooseOutputs, refuseStorageTypes } from "../feeds.ts";
import { copyPieces } from "../pieces.ts";
import {
  type CompileOptions,
  type DeviceTensor,
  type Feed,
  type Program,
  type RunOptions,
  type RunResult,
  type Runtime,
  isDeviceTensor,
} from "../runtime.ts";
import { type Wide, narrow, widen } from "./array.ts";
import { interpret } from "./interpret.ts";

/** A runtime that needs nothing. It computes in float64 and rounds once, when a result leaves. */
export function referenceRuntime(): Runtime {
  return new ReferenceRuntime();
}

class ReferenceRuntime implements Runtime {
  readonly name = "reference interpreter";
  readonly threads = 1;
  readonly #tensors = new Map<DeviceTensor, Tensor>();
  #nextId = 1;

  #place(tensor: Tensor): DeviceTensor {
    const device = { dtype: tensor.dtype, shape: tensor.shape, id: this.#nextId++ };
    this.#tensors.set(device, tensor);
    return device;
  }

  #stored(device: DeviceTensor): Tensor {
    const found = this.#tensors.get(device);
    if (found === undefined) {
      throw new Error(
        `the device tensor ${device.dtype}[${device.shape.join(", ")}] has been released, or belongs to another runtime`,
      );
    }
    return found;
  }

  async upload(tensor: Tensor): Promise<DeviceTensor> {
    refuseStorageTypes(tensor.dtype);
    return this.#place({ ...tensor, data: tensor.data.slice() } as Tensor);
  }

  async download(device: DeviceTensor): Promise<Tensor> {
    const stored = this.#stored(device);
    return { ...stored, data: stored.data.slice() } as Tensor;
  }

  async release(device: DeviceTensor): Promise<void> {
    this.#tensors.delete(device);
  }

  async overwrite(device: DeviceTensor, data: Tensor): Promise<void> {
    this.#stored(device);
    if (data.dtype !== device.dtype || data.shape.join() !== device.shape.join()) {
      throw new Error(
        `${data.dtype}[${data.shape.join(", ")}] cannot overwrite ${device.dtype}[${device.shape.join(", ")}]`,
      );
    }
    this.#tensors.set(device, { ...data, data: data.data.slice() } as Tensor);
  }

  async memory(): Promise<{ readonly peakBytes: number; readonly residentBytes: number }> {
    return { peakBytes: process.resourceUsage().maxRSS * 1024, residentBytes: process.memoryUsage.rss() };
  }

  async compile<In extends string, Out extends string>(
    graph: Graph,
    options: CompileOptions = {},
  ): Promise<Program<In, Out>> {
    const name = options.name ?? "program";
    const prepared = (options.passes ?? []).reduce((rewritten, pass) => pass(rewritten), graph);
    return {
      name,
      inputs: prepared.inputs.map((input) => input.name as In),
      outputs: [...prepared.outputs.keys()] as Out[],
      run: async (feeds, runOptions = {}) => this.#run(name, prepared, feeds, runOptions),
      [Symbol.asyncDispose]: async () => {},
    };
  }

  #run<Out extends string>(
    name: string,
    graph: Graph,
    feeds: Readonly<Record<string, Feed>>,
    options: RunOptions<Out>,
  ): RunResult<Out> {
    if (options.signal?.aborted === true) throw new CancelledError(name);
    checkFeeds(name, graph.inputs, feeds);
    const { keep, fetch } = chooseOutputs(name, graph.outputs, options);
    const start = performance.now();
    const wide: Record<string, Wide> = {};
    for (const [input, feed] of Object.entries(feeds)) {
      wide[input] = widen(isDeviceTensor(feed) ? this.#stored(feed) : feed);
    }
    const results = interpret(graph, wide, name);
    for (const { output, targets, pieces } of options.write ?? []) {
      const arrays = targets.map((target) => this.#stored(target).data);
      copyPieces(output, narrow(results[output]!).data, arrays, pieces);
    }
    const outputs = Object.fromEntries(fetch.map((output) => [output, narrow(results[output]!)]));
    const kept = Object.fromEntries(keep.map((output) => [output, this.#place(narrow(results[output]!))]));
    return { outputs, kept, seconds: (performance.now() - start) / 1000 } as RunResult<Out>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tensors.clear();
  }
}
