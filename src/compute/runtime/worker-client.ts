/** The caller's side of the worker thread: numbered calls, cancelling, and what happens when the thread dies. */
import { type TransferListItem, Worker } from "node:worker_threads";
import { CancelledError } from "../../util/index.ts";
import type { CallName, Calls, Reply, WireError } from "./protocol.ts";

/** A failure that the worker reports; `kind` tells what can be said about it. */
export class WorkerCallError extends Error {
  readonly kind: WireError["kind"];

  constructor(error: WireError) {
    super(error.message);
    this.name = "WorkerCallError";
    this.kind = error.kind;
  }
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  /** Takes the result of a call that nobody waits for any more. */
  readonly abandon: (() => void) | undefined;
  readonly cleanUp: () => void;
}

export interface CallOptions {
  readonly transfer?: readonly TransferListItem[];
  readonly signal?: AbortSignal | undefined;
  /** What a cancellation says was cancelled. */
  readonly what?: string;
  /** Called when a cancelled call finished after all. */
  readonly whenAbandoned?: () => void;
}

/**
 * In a checkout this file and the worker are TypeScript. A thread's first file cannot be (Node 20 reads it before any
 * loader is in place), so a line of JavaScript registers tsx and goes on from there.
 */
function startWorker(): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(new URL("./worker.js", import.meta.url));
  const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const worker = JSON.stringify(new URL("./worker.ts", import.meta.url).href);
  return new Worker(`import(${tsx}).then(({ register }) => { register(); return import(${worker}); });`, {
    eval: true,
  });
}

export class WorkerClient {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextCall = 1;
  #dead: Error | undefined;

  constructor() {
    this.#worker = startWorker();
    this.#worker.on("message", (reply: Reply) => this.#settle(reply));
    this.#worker.on("error", (error) => this.#die(`failed: ${error.message}`, error));
    this.#worker.on("exit", (code) => this.#die(`ended (exit code ${code})`));
    this.#worker.unref();
  }

  /** Whether the thread has ended; its runtime is of no use any more. */
  get dead(): boolean {
    return this.#dead !== undefined;
  }

  call<C extends CallName>(
    name: C,
    request: Calls[C]["request"],
    options: CallOptions = {},
  ): Promise<Calls[C]["reply"]> {
    const { signal, what = name } = options;
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    if (signal?.aborted === true) return Promise.reject(new CancelledError(what));
    const call = this.#nextCall++;
    return new Promise<Calls[C]["reply"]>((resolve, reject) => {
      const onAbort = (): void => {
        this.#worker.postMessage({ cancel: call }, []);
        reject(new CancelledError(what));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#pending.set(call, {
        resolve,
        reject,
        abandon:
          options.whenAbandoned === undefined
            ? undefined
            : () => signal?.aborted === true && options.whenAbandoned?.(),
        cleanUp: () => signal?.removeEventListener("abort", onAbort),
      });
      // A runtime that waits for nothing does not keep the process alive.
      this.#worker.ref();
      try {
        this.#worker.postMessage({ call, name, ...request }, options.transfer);
      } catch (error) {
        this.#forget(call);
        throw error;
      }
    });
  }

  #forget(call: number): Pending | undefined {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    pending?.cleanUp();
    if (this.#pending.size === 0) this.#worker.unref();
    return pending;
  }

  #settle(reply: Reply): void {
    const pending = this.#forget(reply.call);
    if (pending === undefined) return;
    if ("error" in reply) {
      pending.reject(new WorkerCallError(reply.error));
      return;
    }
    pending.abandon?.();
    pending.resolve(reply.value as never);
  }

  #die(how: string, cause?: Error): void {
    this.#dead ??= new Error(`the onnxruntime worker thread ${how}; this runtime cannot be used any more`, {
      cause,
    });
    for (const call of this.#pending.keys()) this.#forget(call)?.reject(this.#dead);
  }

  /** Lets the calls before this one finish, then ends the thread. */
  async close(): Promise<void> {
    if (this.#dead !== undefined) return;
    const closed = this.call("close", {});
    this.#dead = new Error("this runtime has been disposed");
    await closed.catch(() => {});
    await this.#worker.terminate();
  }

  /** Ends the thread at once, whatever it does. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}
