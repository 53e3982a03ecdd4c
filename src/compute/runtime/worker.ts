/** The thread in which onnxruntime runs: it owns the sessions and the device tensors, one call at a time. */
import { type TransferListItem, parentPort } from "node:worker_threads";
import type * as Onnx from "onnxruntime-node";
import type { RowView } from "../graph/index.ts";
import type { DType, DTypeArrays } from "../tensor/index.ts";
import { copyPieces } from "./pieces.ts";
import type {
  CallName,
  Calls,
  Cancel,
  Reply,
  Request,
  SessionSettings,
  WireError,
  WireTensor,
} from "./protocol.ts";
import { type SharedMemory, sharedMemory } from "./shared-memory.ts";

if (parentPort === null) throw new Error("this file runs in a worker thread");
const port = parentPort;

let onnx: typeof Onnx;
let memory: SharedMemory | undefined;
interface Session {
  readonly session: Onnx.InferenceSession;
  readonly views: readonly RowView[];
  readonly profiled: boolean;
}

const sessions = new Map<number, Session>();
const tensors = new Map<number, Onnx.Tensor>();
const cancelled = new Set<number>();
/** Calls are answered in order; a cancellation of this one or an earlier one comes too late. */
let answered = 0;

function toOnnx({ dtype, shape, data }: WireTensor): Onnx.Tensor {
  return new onnx.Tensor(dtype as Onnx.Tensor.Type, data as Onnx.Tensor.DataType, shape);
}

/** Where JavaScript has Float16Array, onnxruntime hands it out; ours are raw bits. */
function rawData(tensor: Onnx.Tensor): DTypeArrays[DType] {
  const raw = tensor.data as DTypeArrays[DType];
  return tensor.type === "float16" ? new Uint16Array(raw.buffer, raw.byteOffset, raw.length) : raw;
}

function fromOnnx(tensor: Onnx.Tensor): WireTensor {
  return { dtype: tensor.type as DType, shape: tensor.dims, data: rawData(tensor) };
}

/** Rows of a tensor, in its own memory. */
function rowsOf(tensor: Onnx.Tensor, from: number, to: number): Onnx.Tensor {
  const { dtype, shape, data } = fromOnnx(tensor);
  const [, ...row] = shape;
  const width = row.reduce((size, dim) => size * dim, 1);
  return toOnnx({ dtype, shape: [to - from, ...row], data: data.subarray(from * width, to * width) });
}

function known(id: number): Onnx.Tensor {
  const tensor = tensors.get(id);
  if (tensor === undefined) throw new Error(`the device tensor ${id} has been released`);
  return tensor;
}

function sessionOptions({
  threads,
  provider,
  memoryPattern,
  spin,
  profile,
}: SessionSettings): Onnx.InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    enableMemPattern: memoryPattern,
    // What is left to rewrite on the CPU after `optimize` gains nothing: looking for it takes two thirds of a session's time (dev/LOG.md).
    graphOptimizationLevel: provider === "cpu" ? "disabled" : "all",
    logSeverityLevel: 4,
    ...(spin ? {} : { extra: { session: { intra_op: { allow_spinning: "0" } } } }),
    ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
  };
}

type Handlers = {
  readonly [C in CallName]: (
    request: Calls[C]["request"],
    transfer: TransferListItem[],
  ) => Promise<Calls[C]["reply"]> | Calls[C]["reply"];
};

const handlers: Handlers = {
  start: async () => {
    onnx = (await import("onnxruntime-node")) as typeof Onnx;
    // What goes wrong arrives as an exception; a second copy on stderr helps nobody.
    onnx.env.logLevel = "fatal";
    memory = await sharedMemory();
    return { version: onnx.env.versions.node ?? "", canShare: memory !== undefined };
  },
  upload: ({ id, tensor }) => {
    tensors.set(id, toOnnx(tensor));
    return { shared: memory?.share(tensor) };
  },
  adopt: ({ tensors: lent }) => {
    for (const [id, shared] of lent) tensors.set(id, toOnnx(memory!.adopt(shared)));
    return null;
  },
  download: ({ id }, transfer) => {
    const { dtype, shape, data } = fromOnnx(known(id));
    const copy = data.slice();
    transfer.push(copy.buffer as ArrayBuffer);
    return { dtype, shape, data: copy };
  },
  release: ({ ids }) => {
    for (const id of ids) tensors.delete(id);
    return null;
  },
  compile: async ({ program, model, views, settings }) => {
    const options = sessionOptions(settings);
    const session =
      typeof model === "string"
        ? await onnx.InferenceSession.create(model, options)
        : await onnx.InferenceSession.create(model, options);
    sessions.set(program, { session, views, profiled: settings.profile !== undefined });
    return null;
  },
  run: async ({ program, feeds, fetch, keep, writes }, transfer) => {
    const { session, views } = sessions.get(program)!;
    const inputs: Record<string, Onnx.Tensor> = {};
    for (const [name, feed] of Object.entries(feeds)) {
      inputs[name] = typeof feed === "number" ? known(feed) : toOnnx(feed);
    }
    for (const { name, of, from, to } of views) inputs[name] = rowsOf(inputs[of]!, from, to);
    const wanted = new Set([...fetch, ...Object.keys(keep), ...writes.map(({ output }) => output)]);
    // onnxruntime wants to fetch something.
    if (wanted.size === 0) wanted.add(session.outputNames[0]!);
    const start = performance.now();
    const results = await session.run(inputs, [...wanted], { logSeverityLevel: 4 });
    const seconds = (performance.now() - start) / 1000;
    for (const { output, targets, pieces } of writes) {
      copyPieces(
        output,
        rawData(results[output]!),
        targets.map((id) => rawData(known(id))),
        pieces,
      );
    }
    const kept: Record<string, Calls["run"]["reply"]["kept"][string]> = {};
    for (const [name, id] of Object.entries(keep)) {
      const tensor = results[name]!;
      tensors.set(id, tensor);
      kept[name] = { shape: tensor.dims, shared: memory?.share(fromOnnx(tensor)) };
    }
    const outputs: Record<string, WireTensor> = {};
    for (const name of fetch) {
      const output = fromOnnx(results[name]!);
      if (name in keep) outputs[name] = { ...output, data: output.data.slice() };
      else outputs[name] = output;
      transfer.push(outputs[name].data.buffer as ArrayBuffer);
    }
    return { outputs, kept, seconds };
  },
  dispose: async ({ program }) => {
    const entry = sessions.get(program);
    sessions.delete(program);
    if (entry?.profiled === true) entry.session.endProfiling();
    await entry?.session.release();
    return null;
  },
  close: async () => {
    for (const { session } of sessions.values()) await session.release();
    sessions.clear();
    tensors.clear();
    return null;
  },
};

function describeError(error: unknown): WireError {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND" || code === "ERR_DLOPEN_FAILED") {
    return { kind: "binary", message };
  }
  if (/bad[_ ]alloc|failed to allocate memory|allocation failed|out of memory/i.test(message)) {
    return { kind: "memory", message };
  }
  return { kind: "failed", message };
}

async function answer(request: Request): Promise<void> {
  // One turn of the event loop, so that a cancellation sent meanwhile is seen before the call begins.
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  const transfer: TransferListItem[] = [];
  let reply: Reply;
  try {
    if (cancelled.delete(request.call)) {
      reply = { call: request.call, error: { kind: "cancelled", message: "cancelled" } };
    } else {
      const handler = handlers[request.name] as (request: Request, transfer: TransferListItem[]) => unknown;
      reply = { call: request.call, value: (await handler(request, transfer)) as Calls[CallName]["reply"] };
    }
  } catch (error) {
    reply = { call: request.call, error: describeError(error) };
  }
  answered = request.call;
  port.postMessage(reply, transfer);
  if (request.name === "close") port.close();
}

let last = Promise.resolve();
port.on("message", (message: Request | Cancel) => {
  if ("cancel" in message) {
    if (message.cancel > answered) cancelled.add(message.cancel);
  } else last = last.then(() => answer(message));
});
