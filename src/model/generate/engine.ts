/** Key-value caches of several sequences on a device, and the steps that read prompts and grow them. */
import type { DeviceTensor, Feed, Program } from "../../compute/runtime/index.ts";
import { type Tensor, float32, tensor, zeros } from "../../compute/tensor/index.ts";
import type { ResidentModel } from "../decoder/index.ts";
import type { Adapter } from "../weights/index.ts";
import { cacheWidth, generationGraph } from "./graph.ts";

/** What a step says about the token that follows: the most likely one, and on demand all logits [V]. */
export interface NextToken {
  readonly best: number;
  readonly logits: Float32Array | undefined;
}

export interface GenerationEngine extends AsyncDisposable {
  readonly slots: number;
  /** Tokens that fit a slot. */
  readonly capacity: number;
  /** Reads a prompt into a slot, whatever that held before. */
  prefill(
    slot: number,
    ids: readonly number[],
    wantLogits: boolean,
    signal?: AbortSignal,
  ): Promise<NextToken>;
  /** Appends one token to each of these slots and predicts the next of each, in their order. */
  decode(
    steps: readonly { readonly slot: number; readonly token: number }[],
    wantLogits: boolean,
    signal?: AbortSignal,
  ): Promise<readonly NextToken[]>;
  /** Uses another adapter, or none, from the next prompt on; the base stays where it is. */
  useAdapter(adapter: Adapter | undefined): Promise<void>;
}

export interface EngineSize {
  readonly slots: number;
  readonly capacity: number;
}

export async function generationEngine(model: ResidentModel, size: EngineSize): Promise<GenerationEngine> {
  const { runtime, spec } = model;
  const { slots, capacity } = size;
  const { kvHeads, layers } = spec;
  const width = cacheWidth(spec);
  const slotElements = kvHeads * capacity * width;
  const programs = new Map<string, Program>();
  const pastNames = Array.from({ length: layers }, (_, l) => [`pastKey.${l}`, `pastValue.${l}`]).flat();
  const caches: DeviceTensor[] = [];
  for (const _ of pastNames) {
    caches.push(
      await runtime.upload(zeros("float32", [slots, kvHeads, capacity, width]), { transfer: true }),
    );
  }
  // A prompt is the first thing in its slot: it is computed against a past of which nothing counts.
  const noPast = await runtime.upload(zeros("float32", [1, kvHeads, 1, width]), { transfer: true });
  const lengths = new Int32Array(slots);
  let adapterFeeds: Record<string, DeviceTensor> = {};
  let program = await programFor(new Set());

  async function programFor(adapted: ReadonlySet<string>): Promise<Program> {
    const key = [...adapted].sort().join(" ");
    const known =
      programs.get(key) ?? (await runtime.compile(generationGraph(spec, adapted), { name: "generation" }));
    programs.set(key, known);
    return known;
  }

  /** One run over `rows` slots whose new tokens are `ids` [rows, count]; caches of those slots grow. */
  async function run(
    rows: readonly number[],
    ids: BigInt64Array,
    past: Record<string, Feed>,
    starts: readonly number[],
    wantLogits: boolean,
    signal: AbortSignal | undefined,
  ): Promise<NextToken[]> {
    const batch = starts.length;
    const count = ids.length / batch;
    const positions = new BigInt64Array(batch * count);
    starts.forEach((start, b) => {
      for (let s = 0; s < count; s++) positions[b * count + s] = BigInt(start + s);
    });
    const totals = Int32Array.from(starts, (start) => start + count);
    const longest = Math.max(...totals);
    const { outputs } = await program.run(
      {
        ...(await model.feeds(program.inputs, longest)),
        ...adapterFeeds,
        ...past,
        tokenIds: tensor("int64", [batch, count], ids),
        positions: tensor("int64", [batch, count], positions),
        lengthsMinusOne: tensor(
          "int32",
          [batch],
          totals.map((total) => total - 1),
        ),
        totalLength: tensor("int32", [], Int32Array.of(longest)),
      },
      {
        fetch: wantLogits ? ["logits", "next"] : ["next"],
        write: [{ output: "newKeyValues", targets: caches, pieces: cachePieces(rows, batch, count, starts) }],
        ...(signal === undefined ? {} : { signal }),
      },
    );
    const next = (outputs["next"] as Tensor<"int64">).data;
    const logits = wantLogits ? (outputs["logits"] as Tensor<"float32">).data : undefined;
    return rows.map((_, b) => ({
      best: Number(next[b]),
      logits: logits?.subarray(b * spec.vocabulary, (b + 1) * spec.vocabulary),
    }));
  }

  /** Where each new key and value row goes: output [2L, B, K, S, W], targets [slots, K, capacity, W]. */
  function cachePieces(
    rows: readonly number[],
    batch: number,
    count: number,
    starts: readonly number[],
  ): Int32Array {
    const pieces = new Int32Array(caches.length * rows.length * kvHeads * 4);
    const rowElements = count * width;
    let at = 0;
    for (let cache = 0; cache < caches.length; cache++) {
      for (let b = 0; b < rows.length; b++) {
        for (let head = 0; head < kvHeads; head++) {
          pieces[at++] = cache;
          pieces[at++] = ((cache * batch + b) * kvHeads + head) * rowElements;
          pieces[at++] = rows[b]! * slotElements + (head * capacity + starts[b]!) * width;
          pieces[at++] = rowElements;
        }
      }
    }
    return pieces;
  }

  const checkRoom = (slot: number, total: number): void => {
    if (total > capacity) throw new Error(`slot ${slot} holds ${capacity} tokens; ${total} were asked for`);
  };
  const residentPast: Record<string, Feed> = Object.fromEntries(
    pastNames.map((name, i) => [name, caches[i]!]),
  );
  const emptyPast: Record<string, Feed> = Object.fromEntries(pastNames.map((name) => [name, noPast]));
  return {
    slots,
    capacity,
    prefill: async (slot, ids, wantLogits, signal) => {
      checkRoom(slot, ids.length);
      const [next] = await run([slot], BigInt64Array.from(ids, BigInt), emptyPast, [0], wantLogits, signal);
      lengths[slot] = ids.length;
      return next!;
    },
    decode: async (steps, wantLogits, signal) => {
      // Every slot takes part; the rows of idle ones are computed against nothing and written over by their next prompt.
      const tokens = new BigInt64Array(slots);
      const starts = Array.from({ length: slots }, () => 0);
      const rows = Array.from({ length: slots }, (_, slot) => slot);
      for (const { slot, token } of steps) {
        checkRoom(slot, lengths[slot]! + 1);
        tokens[slot] = BigInt(token);
        starts[slot] = lengths[slot]!;
      }
      const all = await run(rows, tokens, residentPast, starts, wantLogits, signal);
      for (const { slot } of steps) lengths[slot]! += 1;
      return steps.map(({ slot }) => all[slot]!);
    },
    useAdapter: async (adapter) => {
      for (const old of Object.values(adapterFeeds)) await runtime.release(old);
      adapterFeeds = {};
      for (const [path, { a, b, scale }] of adapter?.layers ?? []) {
        adapterFeeds[`${path}.lora_A.weight`] = await runtime.upload(a);
        const scaled = float32(
          b.shape,
          b.data.map((value) => value * scale),
        );
        adapterFeeds[`${path}.lora_B.weight`] = await runtime.upload(scaled, { transfer: true });
      }
      program = await programFor(new Set(adapter?.layers.keys()));
    },
    [Symbol.asyncDispose]: async () => {
      for (const resident of [...caches, noPast, ...Object.values(adapterFeeds)])
        await runtime.release(resident);
      for (const one of programs.values()) await one[Symbol.asyncDispose]();
    },
  };
}
