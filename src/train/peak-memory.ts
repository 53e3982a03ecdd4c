/** How much memory a run will take, from its graphs and its batches, before a weight is read. */
import { type Graph, byteCounter, optimize, symbolSizes } from "../compute/graph/index.ts";
import { Arena, bufferEvents, evaluateNode } from "../compute/runtime/index.ts";
import type { Sequence } from "../model/decoder/index.ts";
import type { EngineOptions } from "./engine.ts";
import { type ModelForm, batchSizes, measuringGraph, stepGraph, updateGraph } from "./step-graphs.ts";

export interface MemoryPrediction {
  /** What the process holds before anything of the model is loaded. */
  readonly processBytes: number;
  /** The runtime and its sessions, without what they compute. */
  readonly runtimeBytes: number;
  readonly weightBytes: number;
  /** What a micro-batch's forward and backward pass take at the most. */
  readonly stepBytes: number;
  /** The same of an evaluation, whose session keeps what it took. */
  readonly evaluationBytes: number;
  /** Parameters in training, gradient, AdamW's two moments, and what an update forms. */
  readonly optimizerBytes: number;
  /** Batches on their way to the runtime, and those that no collector of garbage has met yet. */
  readonly batchBytes: number;
  /** Sample replies: caches, and what their sessions took. */
  readonly replyBytes: number;
  readonly totalBytes: number;
}

export interface MemoryOptions {
  readonly model: ModelForm;
  /** But for what is varied. */
  readonly options: Omit<EngineOptions, "seed" | keyof MemoryQuestion>;
  readonly processBytes: number;
  /** All weights as they are held. */
  readonly weightBytes: number;
}

export interface MemoryQuestion extends Pick<EngineOptions, "recompute" | "queryChunks" | "lossChunks"> {
  /** Of each lane, micro-batches among which the largest are. */
  readonly training: readonly MicroBatches[];
  readonly validation: readonly MicroBatches[];
  /** What sample replies take; absent where there are none. */
  readonly replies?: { readonly bytes: number; readonly nodes: number };
}

type MicroBatches = readonly (readonly Sequence[])[];

/** onnxruntime's library and its thread; a session and what building its graph leaves, a node. Measured, see dev/LOG.md. */
const runtimeBase = 60e6;
const bytesANode = 7e3;
/** The same of a further lane: a session, and its thread. */
const laneBytesANode = 4e3;
/** A batch is laid out, and copied for the runtime's thread. */
const batchCopies = 2;
/** V8 collects arrays outside its heap when there are so many bytes of them; here in two threads. See dev/LOG.md. */
const uncollected = 60e6;
const threads = 2;

/** The graphs of a run as they are compiled. */
export interface RunGraphs {
  readonly step: Graph;
  /** Built when it is asked for: a run that holds nothing out has none. */
  readonly measuring: () => Graph;
  readonly update: Graph;
}

export interface MemoryPredictor {
  readonly predict: (question: MemoryQuestion) => MemoryPrediction;
  readonly graphs: (settings: GraphSettings) => RunGraphs;
}

type GraphSettings = Pick<MemoryQuestion, "recompute" | "queryChunks" | "lossChunks">;

/** Answers for different micro-batches and recomputation; a graph is built once. */
export function memoryPredictor({
  model,
  options,
  processBytes,
  weightBytes,
}: MemoryOptions): MemoryPredictor {
  const { layout } = options;
  const graphs = new Map<string, Graph>();
  const graphOf = (name: "step" | "measuring", wanted: GraphSettings): Graph => {
    const { recompute, queryChunks, lossChunks } = wanted;
    const key = [name, name === "step" ? recompute : "", queryChunks, lossChunks].join(" ");
    let graph = graphs.get(key);
    if (graph === undefined) {
      const build = name === "step" ? stepGraph : measuringGraph;
      graph = optimize(build(model, { ...options, recompute, queryChunks, lossChunks }), evaluateNode);
      graphs.set(key, graph);
    }
    return graph;
  };
  const update = optimize(updateGraph(options), evaluateNode);
  const updateArena = new Arena();
  updateArena.run(bufferEvents(update, symbolSizes(update, vectors(update, layout.size))));
  // Parameters, moments, gradient and the zeros it begins with; the three new vectors until the old ones are let go.
  const optimizerBytes = 8 * 4 * layout.size + updateArena.residentBytes;
  const predict = (question: MemoryQuestion): MemoryPrediction => {
    const { replies } = question;
    const step = graphOf("step", question);
    const training = passBytes(step, model, question, question.training, options.share);
    const measures = question.validation.some((ofLane) => ofLane.length > 0);
    const measuring = measures ? graphOf("measuring", question) : undefined;
    const validation =
      measuring === undefined
        ? { arenaBytes: 0, fedBytes: 0 }
        : passBytes(measuring, model, question, question.validation, options.share);
    const nodes = step.nodes.length + (measuring?.nodes.length ?? 0);
    const lanes = question.training.length;
    const parts = {
      processBytes,
      runtimeBytes: runtimeBase + (bytesANode + laneBytesANode * (lanes - 1)) * nodes,
      weightBytes,
      stepBytes: training.arenaBytes,
      evaluationBytes: validation.arenaBytes,
      // A gradient of its own for each lane, and their sum.
      optimizerBytes: optimizerBytes + (lanes === 1 ? 0 : lanes * 4 * layout.size),
      batchBytes:
        batchCopies * Math.max(training.fedBytes, validation.fedBytes) +
        threads *
          Math.min(
            uncollected,
            training.fedBytes * Math.max(...question.training.map((ofLane) => ofLane.length)),
          ),
      replyBytes: replies === undefined ? 0 : replies.bytes + bytesANode * replies.nodes,
    };
    return { ...parts, totalBytes: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
  };
  return {
    predict,
    graphs: (settings) => ({
      step: graphOf("step", settings),
      measuring: () => graphOf("measuring", settings),
      update,
    }),
  };
}

/** The one symbol of AdamW's graph is the number of parameters. */
function vectors(graph: Graph, count: number): Record<string, { readonly shape: readonly number[] }> {
  return Object.fromEntries(
    graph.inputs.map(({ name, shape }) => [
      name,
      { shape: shape.map((dim) => (typeof dim === "number" ? dim : count)) },
    ]),
  );
}

/** The arenas of the lanes after their largest micro-batches, and the bytes that are fed for one of each. */
function passBytes(
  graph: Graph,
  { spec }: ModelForm,
  { queryChunks, lossChunks }: MemoryQuestion,
  lanes: readonly MicroBatches[],
  share: boolean | undefined,
): { readonly arenaBytes: number; readonly fedBytes: number } {
  const layout = { queryChunks, lossChunks, ...(share === undefined ? {} : { share }) };
  let [arenaBytes, allFed] = [0, 0];
  for (const microBatches of lanes) {
    const arena = new Arena();
    let fedBytes = 0;
    for (const sequences of microBatches.length === 0 ? [] : largest(microBatches)) {
      const sizes = batchSizes(graph, spec, layout, sequences);
      arena.run(bufferEvents(graph, sizes));
      const bytesOf = byteCounter(sizes);
      // A batch's inputs, dropout masks among them, are those of open sizes.
      const fed = graph.inputs.filter(({ shape }) =>
        shape.some((dim) => typeof dim === "string" && dim !== "P"),
      );
      fedBytes = Math.max(
        fedBytes,
        fed.reduce((sum, input) => sum + bytesOf(input), 0),
      );
    }
    arenaBytes += arena.residentBytes;
    allFed += fedBytes;
  }
  return { arenaBytes, fedBytes: allFed };
}

/** Each of these can be what makes a micro-batch the largest: tokens, padding, scores, targets. */
const measures: readonly ((sequences: readonly Sequence[]) => number)[] = [
  (sequences) => sequences.reduce((sum, { ids }) => sum + ids.length, 0),
  (sequences) => sequences.length * longestOf(sequences),
  (sequences) => sequences.length * longestOf(sequences) ** 2,
  (sequences) =>
    sequences.reduce(
      (sum, { weights }) => sum + Array.from(weights).filter((weight) => weight > 0).length,
      0,
    ),
];

function longestOf(sequences: readonly Sequence[]): number {
  return sequences.reduce((most, { ids }) => Math.max(most, ids.length), 0);
}

/** The largest by each measure, the one that most likely needs least first, as memory grows in a run. */
function largest(microBatches: MicroBatches): readonly (readonly Sequence[])[] {
  const found = measures.map((measure) =>
    microBatches
      .map((sequences) => ({ sequences, size: measure(sequences) }))
      .reduce((most, one) => (one.size > most.size ? one : most)),
  );
  return [...new Set(found.map(({ sequences }) => sequences))].reverse();
}
