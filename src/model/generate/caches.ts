/** Key-value caches that are only as long as they must be: the attention kernel passes over all of them for every token. */
import { GraphBuilder } from "../../compute/graph/index.ts";
import type { DeviceTensor, Program, Runtime } from "../../compute/runtime/index.ts";
import { zeros } from "../../compute/tensor/index.ts";

export interface CacheShape {
  /** Two a layer. */
  readonly count: number;
  readonly slots: number;
  /** K */
  readonly kvHeads: number;
  /** W */
  readonly width: number;
  /** The most tokens a slot will hold. */
  readonly capacity: number;
}

export interface GrowingCaches extends AsyncDisposable {
  /** [slots, K, room, W] each; others after `reserve`. */
  readonly tensors: readonly DeviceTensor[];
  /** Tokens a slot holds now. */
  readonly room: number;
  /** Makes room for `tokens` a slot and keeps what is there; gives much back that is not needed. */
  reserve(tokens: number): Promise<void>;
}

// Steps of at least a quarter, so that a reply of 500 tokens is copied half a dozen times and not 500.
const step = 64;
const roomFor = (tokens: number, capacity: number): number =>
  Math.min(capacity, step * Math.ceil((1.25 * tokens) / step));

export async function growingCaches(runtime: Runtime, shape: CacheShape): Promise<GrowingCaches> {
  const { count, slots, kvHeads, width, capacity } = shape;
  let room = roomFor(1, capacity);
  const tensors: DeviceTensor[] = [];
  for (let i = 0; i < count; i++)
    tensors.push(await runtime.upload(zeros("float32", [slots, kvHeads, room, width]), { transfer: true }));
  const resizers = new Map<number, Program>();

  /** Adds room behind each head's tokens, or cuts it off. */
  async function resizer(difference: number): Promise<Program> {
    const known = resizers.get(difference);
    if (known !== undefined) return known;
    const g = new GraphBuilder();
    const cache = g.input("cache", "float32", [slots, kvHeads, "P", width]);
    g.output("resized", difference > 0 ? g.pad(cache, 2, 0, difference) : g.slice(cache, 2, 0, difference));
    const program = await runtime.compile(g.build(), { name: "cache" });
    resizers.set(difference, program);
    return program;
  }

  return {
    tensors,
    get room() {
      return room;
    },
    reserve: async (tokens) => {
      const wanted = roomFor(tokens, capacity);
      if (tokens <= room && 2 * wanted > room) return;
      const program = await resizer(wanted - room);
      for (const [i, cache] of tensors.entries()) {
        const { kept } = await program.run({ cache }, { keep: ["resized"], fetch: [] });
        await runtime.release(cache);
        tensors[i] = kept["resized"]!;
      }
      room = wanted;
    },
    [Symbol.asyncDispose]: async () => {
      for (const cache of tensors) await runtime.release(cache);
      for (const program of resizers.values()) await program[Symbol.asyncDispose]();
    },
  };
}
