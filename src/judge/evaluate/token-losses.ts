/** Teacher-forced losses of every reply, token by token: forward only, folded rows, no [tokens, V] matrix kept. */
import { type Graph, GraphBuilder, type Value } from "../../compute/graph/index.ts";
import type { Program } from "../../compute/runtime/index.ts";
import type { FeedSequence } from "../../data/feed/index.ts";
import {
  type AdapterUse,
  type ModelSpec,
  type ResidentAdapter,
  type ResidentModel,
  adapterLinear,
  batchInputs,
  decoder,
  finalNorm,
  flatBatch,
  microBatches,
  noAdapter,
  queryChunksFor,
  residentAdapter,
  vocabularyTable,
} from "../../model/decoder/index.ts";
import { inputWeights, linear, scope } from "../../model/nn/index.ts";
import type { Adapter } from "../../model/weights/index.ts";

interface GraphShape {
  readonly queryChunks: number;
  readonly lossChunks: number;
}

/**
 * `losses` [R] in nats: −log p of the label of each selected row, from `batchInputs`, `rows` and `labels` [R], and
 * what `AdapterUse` says of an adapter.
 */
export function tokenLossGraph(
  spec: ModelSpec,
  use: AdapterUse,
  { queryChunks, lossChunks }: GraphShape,
): Graph {
  const g = new GraphBuilder();
  const root = scope(g, inputWeights(g));
  const rows = lossChunks === 1 ? "Q" : `${lossChunks}*Q`;
  const selectedRows = g.input("rows", "int64", [rows]);
  const selected = decoder(root, spec, batchInputs(g, spec, queryChunks), {
    linear: adapterLinear(linear, use),
    queryChunks,
    recompute: "none",
    trainable: new Map(),
    select: (x) => g.gather(x, selectedRows),
  });
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
  const queryChunks = queryChunksFor(size.longest);
  const programs = new Map<string, Program>();
  let changes: ResidentAdapter | undefined;

  const programFor = async (lossChunks: number): Promise<Program> => {
    const key = `${lossChunks} ${changes?.key ?? ""}`;
    const program =
      programs.get(key) ??
      (await runtime.compile(tokenLossGraph(spec, changes?.use ?? noAdapter, { queryChunks, lossChunks }), {
        name: "token losses",
      }));
    programs.set(key, program);
    return program;
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
            ...(await model.feeds(program.inputs, batch.longest)),
            ...changes?.feeds,
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
      await changes?.release();
      changes = await residentAdapter(model, adapter);
    },
    [Symbol.asyncDispose]: async () => {
      await changes?.release();
      for (const program of programs.values()) await program[Symbol.asyncDispose]();
    },
  };
}

function countTargets(weights: Float32Array): number {
  let count = 0;
  for (let t = 1; t < weights.length; t++) if (weights[t]! > 0) count += 1;
  return count;
}
