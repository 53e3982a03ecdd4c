/** The worker threads of a runtime: one computes by itself, more of them side by side on tensors that they share. */
import type { Tensor } from "../tensor/index.ts";
import type { Calls, WireTensor } from "./protocol.ts";
import type { SharedTensor } from "./shared-memory.ts";
import { type CallOptions, WorkerClient } from "./worker-client.ts";

/** Where a tensor lies, and who else reads it there. */
interface Home {
  readonly lane: number;
  /** Absent where tensors cannot be shared. */
  readonly shared: SharedTensor | undefined;
  readonly readers: Set<number>;
}

type RunRequest = Calls["run"]["request"];

export class Lanes {
  readonly #clients = [new WorkerClient()];
  readonly #homes = new Map<number, Home>();
  #canShare = false;

  /** Starts the first thread; the version of onnxruntime. */
  async start(): Promise<string> {
    const { version, canShare } = await this.#clients[0]!.call("start", {});
    this.#canShare = canShare;
    return version;
  }

  get dead(): boolean {
    return this.#clients.some(({ dead }) => dead);
  }

  /** Starts threads until there are `wanted`; how many of those there are: one alone where tensors cannot be shared. */
  async open(wanted: number): Promise<number> {
    if (!this.#canShare) return 1;
    while (this.#clients.length < wanted) {
      const client = new WorkerClient();
      this.#clients.push(client);
      await client.call("start", {});
    }
    return wanted;
  }

  /** The same of the first `count` threads. */
  async each(count: number, ask: (client: WorkerClient) => Promise<unknown>): Promise<void> {
    const asked = await Promise.allSettled(this.#clients.slice(0, count).map(ask));
    const failed = asked.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** Puts a tensor where the one of this number lies, or into the first thread. */
  async upload(id: number, tensor: WireTensor, buffer: ArrayBuffer): Promise<void> {
    const lane = this.#homes.get(id)?.lane ?? 0;
    await this.#withdraw([id]);
    const { shared } = await this.#clients[lane]!.call("upload", { id, tensor }, { transfer: [buffer] });
    this.#homes.set(id, { lane, shared, readers: new Set() });
  }

  async download(id: number): Promise<Tensor> {
    return await this.#clients[this.#home(id).lane]!.call("download", { id });
  }

  async release(ids: readonly number[]): Promise<void> {
    await this.#withdraw(ids);
    await Promise.all(
      ids.map(async (id) => {
        const { lane } = this.#home(id);
        this.#homes.delete(id);
        await this.#clients[lane]!.call("release", { ids: [id] });
      }),
    );
  }

  /** Runs a program in a thread, to which the tensors that are fed are lent. */
  async run(lane: number, request: RunRequest, options: CallOptions): Promise<Calls["run"]["reply"]> {
    const client = this.#clients[lane]!;
    const foreign = new Map<number, SharedTensor>();
    for (const feed of Object.values(request.feeds)) {
      if (typeof feed !== "number") continue;
      const { lane: home, shared, readers } = this.#home(feed);
      if (home !== lane && !readers.has(lane)) foreign.set(feed, shared!);
    }
    for (const id of foreign.keys()) this.#home(id).readers.add(lane);
    // Asked for one after the other, answered in that order.
    const lent = foreign.size === 0 ? undefined : client.call("adopt", { tensors: [...foreign] });
    const [reply] = await Promise.all([client.call("run", request, options), lent]);
    for (const [name, id] of Object.entries(request.keep))
      this.#homes.set(id, { lane, shared: reply.kept[name]!.shared, readers: new Set() });
    return reply;
  }

  /** What an abandoned run kept, of which nobody else knows. */
  forget(lane: number, ids: readonly number[]): void {
    this.#clients[lane]!.call("release", { ids }).catch(() => {});
  }

  async close(): Promise<void> {
    // The first one owns what the others read.
    for (const client of this.#clients.toReversed()) await client.close();
  }

  async terminate(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.terminate()));
  }

  /** Whoever reads these tensors in their homes lets go of them. */
  async #withdraw(ids: readonly number[]): Promise<void> {
    const byReader = new Map<number, number[]>();
    for (const id of ids) {
      const readers = this.#homes.get(id)?.readers;
      for (const lane of readers ?? []) byReader.set(lane, [...(byReader.get(lane) ?? []), id]);
      readers?.clear();
    }
    await Promise.all(
      [...byReader].map(([lane, lent]) => this.#clients[lane]!.call("release", { ids: lent })),
    );
  }

  #home(id: number): Home {
    return this.#homes.get(id)!;
  }
}
