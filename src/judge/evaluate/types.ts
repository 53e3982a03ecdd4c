/** What an evaluation asks for, what it keeps on disk, and what it says. */
import type { Provider } from "../../compute/runtime/index.ts";
import type { Example } from "../../model/text/index.ts";
import type { Comparison, Interval, MetricReport } from "../metrics/index.ts";
import type { EvaluationItem } from "./items.ts";
import type { RecordKey } from "./records.ts";
import type { SpeedFigures } from "./speed.ts";

export type SystemKind = "base" | "tuned" | "run" | "retrieval" | "frequent";

/** A model, with an adapter or without. */
export interface ModelSystem {
  readonly kind: "base" | "tuned" | "run";
  readonly name: string;
  /** Folder, file or hub name, as `openChatModel` takes it. */
  readonly model: string;
  readonly separator?: string;
  /** Exchanges at the beginning that stay when a prompt must be cut. */
  readonly keepFirstTurns?: number;
  /** Tokens that its layers see back, where it was trained so. */
  readonly slidingWindow?: number;
  /** Folder of the adapter. */
  readonly adapter?: string;
}

/** Answers from the training data. */
export interface LookupSystem {
  readonly kind: "retrieval" | "frequent";
  readonly name: string;
}

export type System = ModelSystem | LookupSystem;

/** Plain text that has nothing to do with the task: what fine-tuning may have forgotten. */
export interface GeneralText {
  readonly name: string;
  readonly texts: readonly string[];
}

export interface EvaluationOptions {
  /** What was typed; evaluation.json names it. */
  readonly command?: string;
  /** Where predictions.jsonl, losses.jsonl, measures.json, evaluation.json and the pictures are kept. */
  readonly folder: string;
  readonly items: readonly EvaluationItem[];
  /** Of the first system's run; what the baselines look into. */
  readonly training: readonly Example[];
  readonly systems: readonly System[];
  /** What was asked on, for people. */
  readonly data: { readonly path: string; readonly sha256?: string; readonly replies: number };
  /** Sequences generated at once. */
  readonly batch: number;
  readonly maxNewTokens: number;
  /** Longest prompt with its reply; older turns are left out beyond it. */
  readonly maxTokens: number;
  readonly general: readonly GeneralText[];
  /** Time to spend on measuring speed, seconds a system; 0 leaves it out. */
  readonly speedSeconds: number;
  readonly runtime: { readonly threads?: number; readonly provider?: Provider };
  readonly samples?: number;
  readonly seed: number;
  readonly onProgress?: (progress: EvaluationProgress) => void;
  readonly notice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

export interface EvaluationProgress {
  readonly system: string;
  readonly phase: "weights" | "losses" | "replies" | "speed" | "general text" | "scores";
  readonly done: number;
  readonly total: number;
}

/** A line of predictions.jsonl; the first fields are what `attune rate` reads. */
export interface PredictionRecord extends RecordKey {
  readonly dialogue_id: string;
  readonly context: readonly {
    readonly role: "system" | "user" | "assistant" | "tool";
    readonly content: string;
  }[];
  readonly reference: string;
  readonly references?: readonly string[];
  readonly intent?: string;
  readonly system: string;
  readonly prediction: string;
  readonly stopped_by: "stop token" | "stop string" | "length" | "lookup" | "prompt too long";
  readonly tokens: number;
  readonly prompt_tokens: number;
  /** Messages left out of the prompt. */
  readonly dropped_messages: number;
  readonly depth: number;
  readonly seen: boolean;
  /** Wall-clock since the reply before it (or the start): their sum is the time that generation took. */
  readonly elapsed_seconds: number;
}

/** A line of losses.jsonl. */
export interface LossRecord extends RecordKey {
  readonly nats: number;
  readonly tokens: number;
}

export interface Perplexity extends Interval {
  readonly nats: number;
  readonly tokens: number;
}

export interface SliceFigures {
  readonly by: "intent" | "depth" | "length" | "seen" | "script";
  readonly name: string;
  readonly count: number;
  readonly bleu4: Interval;
  readonly rougeL: Interval;
  readonly exact: number;
  readonly perplexity?: Perplexity;
}

export interface SystemFigures {
  readonly name: string;
  readonly kind: SystemKind;
  /** The model's name and the adapter's folder, or what is looked up. */
  readonly about: string;
  readonly parameters?: number;
  readonly metrics: MetricReport;
  readonly perplexity?: Perplexity;
  readonly slices: readonly SliceFigures[];
  /** Against the first system, on the same prompts. */
  readonly comparison?: Comparison & { readonly against: string };
  readonly stoppedBy: Readonly<Record<string, number>>;
  readonly shortenedPrompts: number;
  readonly unansweredPrompts: number;
  readonly meanReplyTokens: number;
  readonly generation: {
    readonly replies: number;
    readonly seconds: number;
    readonly repliesPerSecond: number;
    /** Against one reply at a time on the same machine. */
    readonly speedup?: number;
  };
  readonly speed?: SpeedFigures;
  /** Perplexity of the general texts. */
  readonly general: Readonly<Record<string, { readonly perplexity: number; readonly tokens: number }>>;
}

export interface Evaluation {
  readonly kind: "attune-evaluation";
  readonly schemaVersion: 1;
  /** What was typed. */
  readonly command?: string;
  readonly data: EvaluationOptions["data"] & { readonly judged: number; readonly seenShare: number };
  readonly settings: {
    readonly batch: number;
    readonly maxNewTokens: number;
    readonly maxTokens: number;
    readonly decoding: "greedy";
    readonly seed: number;
  };
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly threads: number;
    readonly precision: string;
    readonly runtime: string;
    readonly node: string;
  };
  readonly peakBytes: number;
  readonly warnings: readonly string[];
  readonly systems: readonly SystemFigures[];
}
