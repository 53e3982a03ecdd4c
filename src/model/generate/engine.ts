/** Key-value caches of several sequences on a device, and the steps that read prompts and grow them. */
import type { DeviceTensor, Feed, Program } from "../../compute/runtime/index.ts";
import { type Tensor, tensor, zeros } from "../../compute/tensor/index.ts";
import { type ResidentModel, residentAdapter } from "../decoder/index.ts";
import type { Adapter } from "../weights/index.ts";
import { growingCaches } from "./caches.ts";
import { cacheWidth, generationGraph } from "./graph.ts";

/** What a step says about the token that follows: the most likely one, and on demand all logits [V]. */
export interface NextToken {
  readonly best: number;
  readonly logits: Float32Array | undefined;
}

export interface Prompt {
  readonly slot: number;
  readonly ids: readonly number[];
}

export interface GenerationEngine extends AsyncDisposable {
  readonly slots: number;
  /** Tokens that fit a slot. */
  readonly capacity: number;
  /** Reads prompts into their slots, whatever those held before, in one pass: padded to the longest of them. */
  prefill(
    prompts: readonly Prompt[],
    wantLogits: boolean,
    signal?: AbortSignal,
  ): Promise<readonly NextToken[]>;
  /** Appends one token to each of these slots and predicts the next of each, in their order. */
  decode(
    steps: readonly { readonly slot: number; readonly token: number }[],
    wantLogits: boolean,
    signal?: AbortSignal,
  ): Promise<readonly NextToken[]>;
  /** What the slot holds is no longer needed. */
  release(slot: number): void;
  /** Uses another adapter, or none, from the next prompt on; the base stays where it is. */
  useAdapter(adapter: Adapter | undefined): Promise<void>;
}

export interface EngineSize {
  readonly slots: number;
  readonly capacity: number;
}

/** A row of a run: `count` new tokens of `slot`, behind the `start` that its caches hold. */
interface Row {
  readonly slot: number;
  readonly start: number;
  readonly ids: readonly number[];
}

export async function generationEngine(model: ResidentModel, size: EngineSize): Promise<GenerationEngine> {
  const { runtime, spec } = model;
  const { slots, capacity } = size;
  const { kvHeads, layers } = spec;
  const width = cacheWidth(spec);
  const programs = new Map<string, Program>();
  const pastNames = Array.from({ length: layers }, (_, l) => [`pastKey.${l}`, `pastValue.${l}`]).flat();
  const caches = await growingCaches(runtime, { count: pastNames.length, slots, kvHeads, width, capacity });
  // A prompt is the first thing in its slot: it is computed against a past of which nothing counts.
  const noPasts = new Map<number, DeviceTensor>();
  const lengths = new Int32Array(slots);
  let changes = await residentAdapter(model, undefined);

  async function programFor(fewTokens: boolean): Promise<Program> {
    const key = `${fewTokens} ${changes.key}`;
    const known =
      programs.get(key) ??
      (await runtime.compile(generationGraph(spec, { ...changes.use, fewTokens }), { name: "generation" }));
    programs.set(key, known);
    return known;
  }

  /** One run over `rows`; the caches of those that are `live` take their new keys and values. */
  async function run(
    program: Program,
    rows: readonly Row[],
    live: (row: Row) => boolean,
    past: Record<string, Feed>,
    wantLogits: boolean,
    signal: AbortSignal | undefined,
  ): Promise<NextToken[]> {
    const batch = rows.length;
    const count = Math.max(...rows.map(({ ids }) => ids.length));
    const [tokenIds, positions] = [new BigInt64Array(batch * count), new BigInt64Array(batch * count)];
    for (const [b, { start, ids }] of rows.entries()) {
      // Behind a shorter row stand tokens 0: no token before them sees them, and nothing of them is kept.
      for (let s = 0; s < count; s++) {
        tokenIds[b * count + s] = BigInt(ids[s] ?? 0);
        positions[b * count + s] = BigInt(start + s);
      }
    }
    const totals = Int32Array.from(rows, ({ start }) => start + count);
    const longest = Math.max(...totals);
    const { outputs } = await program.run(
      {
        ...(await model.feeds(program.inputs, longest)),
        ...changes.feeds,
        ...past,
        tokenIds: tensor("int64", [batch, count], tokenIds),
        positions: tensor("int64", [batch, count], positions),
        lastRows: tensor(
          "int64",
          [batch],
          BigInt64Array.from(rows, ({ ids }, b) => BigInt(b * count + ids.length - 1)),
        ),
        lengthsMinusOne: tensor(
          "int32",
          [batch],
          totals.map((total) => total - 1),
        ),
        totalLength: tensor("int32", [], Int32Array.of(longest)),
      },
      {
        fetch: wantLogits ? ["logits", "next"] : ["next"],
        write: [{ output: "newKeyValues", targets: caches.tensors, pieces: cachePieces(rows, live, count) }],
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

  /** Where each new key and value row goes: output [2L, B, K, S, W], targets [slots, K, room, W]. */
  function cachePieces(rows: readonly Row[], live: (row: Row) => boolean, count: number): Int32Array {
    const kept = [...rows.entries()].filter(([, row]) => live(row));
    const pieces = new Int32Array(caches.tensors.length * kept.length * kvHeads * 4);
    const { room } = caches;
    let at = 0;
    for (let cache = 0; cache < caches.tensors.length; cache++) {
      for (const [b, { slot, start, ids }] of kept) {
        for (let head = 0; head < kvHeads; head++) {
          pieces[at++] = cache;
          pieces[at++] = ((cache * rows.length + b) * kvHeads + head) * count * width;
          pieces[at++] = ((slot * kvHeads + head) * room + start) * width;
          pieces[at++] = ids.length * width;
        }
      }
    }
    return pieces;
  }

  const checkRoom = (slot: number, total: number): void => {
    if (total > capacity) throw new Error(`slot ${slot} holds ${capacity} tokens; ${total} were asked for`);
  };
  async function emptyPast(batch: number): Promise<Record<string, Feed>> {
    const noPast =
      noPasts.get(batch) ??
      (await runtime.upload(zeros("float32", [batch, kvHeads, 1, width]), { transfer: true }));
    noPasts.set(batch, noPast);
    return Object.fromEntries(pastNames.map((name) => [name, noPast]));
  }
  return {
    slots,
    capacity,
    prefill: async (prompts, wantLogits, signal) => {
      for (const { slot, ids } of prompts) {
        checkRoom(slot, ids.length);
        lengths[slot] = ids.length;
      }
      await caches.reserve(Math.max(...lengths));
      const rows = prompts.map(({ slot, ids }) => ({ slot, start: 0, ids }));
      const past = await emptyPast(rows.length);
      return run(await programFor(false), rows, () => true, past, wantLogits, signal);
    },
    decode: async (steps, wantLogits, signal) => {
      for (const { slot } of steps) checkRoom(slot, lengths[slot]! + 1);
      await caches.reserve(Math.max(...lengths) + 1);
      // Every slot takes part, since the caches do; the rows of idle ones are computed against nothing and forgotten.
      const rows = Array.from({ length: slots }, (_, slot): Row => ({ slot, start: 0, ids: [0] }));
      const live = new Set(steps.map(({ slot }) => slot));
      for (const { slot, token } of steps) rows[slot] = { slot, start: lengths[slot]!, ids: [token] };
      const past = Object.fromEntries(pastNames.map((name, i) => [name, caches.tensors[i]!]));
      const program = await programFor(slots > 1);
      const all = await run(program, rows, ({ slot }) => live.has(slot), past, wantLogits, signal);
      for (const { slot } of steps) lengths[slot]! += 1;
      return steps.map(({ slot }) => all[slot]!);
    },
    release: (slot) => {
      lengths[slot] = 0;
    },
    useAdapter: async (adapter) => {
      await changes.release();
      changes = await residentAdapter(model, adapter);
    },
    [Symbol.asyncDispose]: async () => {
      for (const resident of noPasts.values()) await runtime.release(resident);
      await changes.release();
      await caches[Symbol.asyncDispose]();
      for (const one of programs.values()) await one[Symbol.asyncDispose]();
    },
  };
}
