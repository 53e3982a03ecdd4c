/** Teacher-forced losses of every reply, token by token: forward only, folded rows, no [tokens, V] matrix kept. */
import { type Graph, GraphBuilder, type Value } from "../../compute/graph/index.ts";
import type { DeviceTensor, Program } from "../../compute/runtime/index.ts";
import { float32 } from "../../compute/tensor/index.ts";
import { type FeedSequence, microBatches } from "../../data/feed/index.ts";
import {
  type ModelSpec,
  type ResidentModel,
  batchInputs,
  decoder,
  finalNorm,
  flatBatch,
  vocabularyTable,
} from "../../model/decoder/index.ts";
import { type Linear, inputWeights, linear, lora, scope } from "../../model/nn/index.ts";
import type { Adapter } from "../../model/weights/index.ts";

interface GraphShape {
  readonly queryChunks: number;
  readonly lossChunks: number;
}

/**
 * `losses` [R] in nats: −log p of the label of each selected row, from `batchInputs`, `rows` and `labels` [R]; with
 * `adapted`, `lora_A.weight` [R', I] and `lora_B.weight` [O, R'] of those layers, the scale inside B.
 */
export function tokenLossGraph(
  spec: ModelSpec,
  adapted: ReadonlySet<string>,
  { queryChunks, lossChunks }: GraphShape,
): Graph {
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  const rows = lossChunks === 1 ? "Q" : `${lossChunks}*Q`;
  const base: Linear = linear;
  const hidden = decoder(root, spec, batchInputs(g, spec, queryChunks), {
    linear:
      adapted.size === 0
        ? base
        : lora(base, { rank: "R", scale: 1, adapts: (path) => adapted.has(path), merged: false }),
    queryChunks,
    recompute: "none",
    trainable: new Map(),
  });
  const selected = g.gather(hidden, g.input("rows", "int64", [rows]));
  const table = vocabularyTable(root, spec);
  const normed = finalNorm(root, spec, selected);
  const labels = g.input("labels", "int64", [rows]);
  const part = (x: Value, i: number, inner: readonly number[]): Value =>
    lossChunks === 1
      ? x
      : g.reshape(g.slice(g.reshape(x, [lossChunks, "Q", ...inner]), 0, i, i + 1), ["Q", ...inner]);
  const losses = Array.from({ length: lossChunks }, (_, i) => {
    const h = part(normed, i, [spec.hiddenSize]);
    const logits = g.matmul(h, table, { transB: true });
    const most = g.reduceMax(logits, [-1], true);
    const logSum = g.add(g.reshape(most, ["Q"]), g.log(g.sum(g.exp(g.sub(logits, most)), [-1])));
    return g.sub(logSum, g.sum(g.mul(h, g.gather(table, part(labels, i, []))), [-1]));
  });
  g.output("losses", g.concat(losses, 0));
  return g.build();
}

export interface TokenLossMeter extends AsyncDisposable {
  /** Σ nats and count of the targets of each sequence, by position in `sequences`; weights are taken as 0 or 1. */
  measure(
    sequences: readonly FeedSequence[],
    onTokenLoss: (sequence: number, token: number, nats: number) => void,
    signal?: AbortSignal,
  ): Promise<void>;
  useAdapter(adapter: Adapter | undefined): Promise<void>;
}

/** `longest` and `microTokens` size the graph: rows of more than 512 tokens are attended in query chunks. */
export function tokenLossMeter(
  model: ResidentModel,
  size: { readonly longest: number; readonly microTokens: number },
): TokenLossMeter {
  const { runtime, spec } = model;
  // As in training: rows up to 512 run best whole, vocabulary products in chunks of 256 rows.
  const queryChunks = size.longest <= 512 ? 1 : Math.ceil(size.longest / 128);
  const programs = new Map<string, Program>();
  let adapterFeeds: Record<string, DeviceTensor> = {};
  let adapted: ReadonlySet<string> = new Set();
  let adapterKey = "";

  const programFor = async (lossChunks: number): Promise<Program> => {
    const key = `${lossChunks} ${adapterKey}`;
    const program =
      programs.get(key) ??
      (await runtime.compile(tokenLossGraph(spec, adapted, { queryChunks, lossChunks }), {
        name: "token losses",
      }));
    programs.set(key, program);
    return program;
  };
  const releaseAdapter = async (): Promise<void> => {
    for (const tensor of Object.values(adapterFeeds)) await runtime.release(tensor);
    adapterFeeds = {};
  };
  return {
    measure: async (sequences, onTokenLoss, signal) => {
      const position = new Map(sequences.map((sequence, index) => [sequence, index]));
      for (const group of microBatches(sequences, size.microTokens)) {
        const targets = group.reduce((sum, { weights }) => sum + countTargets(weights), 0);
        if (targets === 0) continue;
        // Powers of two, so that few programs serve all groups.
        const lossChunks = 2 ** Math.max(0, Math.ceil(Math.log2(targets / 256)));
        const program = await programFor(lossChunks);
        const batch = flatBatch(group, spec, { queryChunks, lossChunks });
        const feeds = Object.fromEntries(
          program.inputs.flatMap((name) =>
            batch.feeds[name] === undefined ? [] : [[name, batch.feeds[name]]],
          ),
        );
        const { outputs } = await program.run(
          {
            ...(await model.feeds(program.inputs, batch.feeds["positions"]!.shape[1]!)),
            ...adapterFeeds,
            ...feeds,
          },
          { fetch: ["losses"], ...(signal === undefined ? {} : { signal }) },
        );
        const losses = outputs["losses"]!.data as Float32Array;
        let row = 0;
        for (const sequence of group) {
          const index = position.get(sequence)!;
          for (let t = 1; t < sequence.ids.length; t++)
            if (sequence.weights[t]! > 0) onTokenLoss(index, t, losses[row++]!);
        }
      }
    },
    useAdapter: async (adapter) => {
      await releaseAdapter();
      for (const [path, { a, b, scale }] of adapter?.layers ?? []) {
        adapterFeeds[`${path}.lora_A.weight`] = await runtime.upload(a);
        const scaled = b.data.map((value) => value * scale);
        adapterFeeds[`${path}.lora_B.weight`] = await runtime.upload(float32(b.shape, scaled), {
          transfer: true,
        });
      }
      adapted = new Set(adapter?.layers.keys());
      adapterKey = [...adapted].sort().join(" ");
    },
    [Symbol.asyncDispose]: async () => {
      await releaseAdapter();
      for (const program of programs.values()) await program[Symbol.asyncDispose]();
    },
  };
}

function countTargets(weights: Float32Array): number {
  let count = 0;
  for (let t = 1; t < weights.length; t++) if (weights[t]! > 0) count += 1;
  return count;
}
