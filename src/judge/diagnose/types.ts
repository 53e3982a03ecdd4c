/** What a diagnosis looks at, and what it finds: evidence, examples, how sure, and the change that mends it. */
import type { Markup } from "../../util/html/index.ts";
import type { Evaluation, PredictionRecord } from "../evaluate/index.ts";

/** A text in the two languages of the reports. */
export interface Text {
  readonly en: string;
  readonly zh: string;
}

/** The settings of a run that a remedy may change; a training configuration fits. */
export interface RunSettings {
  readonly lora: {
    readonly rank: number;
    readonly dropout: number;
    readonly targets: string | readonly string[];
  };
  readonly training: {
    readonly epochs: number;
    readonly steps?: number | undefined;
    readonly batch: number;
    readonly maxLength?: number | undefined;
    readonly slidingWindow?: number | undefined;
  };
  readonly data: { readonly longShare?: number | undefined };
  readonly optimizer: { readonly learningRate: number; readonly clipNorm: number };
  readonly evaluation: { readonly every?: number | undefined; readonly patience: number };
  readonly template: { readonly separator?: string | undefined; readonly keepFirstTurns: number };
}

/** What a run told while it trained; its events fit. */
export type CurveEvent =
  | { readonly type: "started"; readonly stepsPerEpoch: number; readonly steps: number }
  | {
      readonly type: "step";
      readonly step: number;
      readonly loss: number;
      readonly gradientNorm: number;
      readonly learningRate: number;
    }
  | { readonly type: "evaluation"; readonly step: number; readonly validationLoss: number }
  | { readonly type: "finished"; readonly reason: string; readonly step: number; readonly bestStep: number }
  | { readonly type: "checkpoint" | "warning" | "gradients" | "probe" | "skipped" | "prediction" };

export interface Curves {
  readonly steps: readonly Extract<CurveEvent, { type: "step" }>[];
  readonly evaluations: readonly Extract<CurveEvent, { type: "evaluation" }>[];
  readonly finished?: Extract<CurveEvent, { type: "finished" }>;
  readonly stepsPerEpoch: number;
}

/** How the adapter does on replies that it has learned from, against held-out ones. */
export interface TrainingSample {
  readonly predictions: readonly PredictionRecord[];
  /** Nats a token, without dropout. */
  readonly trainingLoss: number;
  readonly validationLoss: number;
}

/** A dialogue's replies when the model goes on from its own earlier replies. */
export interface OwnHistoryReply {
  readonly id: string;
  readonly depth: number;
  readonly reference: string;
  readonly prediction: string;
  /** What the customer has said so far. */
  readonly said: readonly string[];
  /** The same reply on the history of the data, where it was generated. */
  readonly onReference?: string;
}

/** Whether the model reads conversations now as it did in training. */
export interface TextCheck {
  /** Fingerprints of template, special tokens and stop tokens. */
  readonly trained: string;
  readonly now: string;
  readonly defaultTemplate: boolean;
  /** A short conversation as it was written in training, where the run kept it, and as it is written now. */
  readonly sample?: { readonly trained: string; readonly now: string };
  /** Conversations whose prompt is not what stood before the reply in training. */
  readonly differing: readonly { readonly trained: string; readonly prompt: string }[];
  readonly compared: number;
}

export interface Diagnosed {
  readonly settings: RunSettings;
  readonly curves: Curves;
  readonly trainingReplies: number;
  /** Replies of training, a sample: what detectors compare habits with. */
  readonly trainingTexts: readonly string[];
  readonly evaluation?: Evaluation;
  /** Replies of the run; in the order of the data. */
  readonly tuned: readonly PredictionRecord[];
  readonly base: readonly PredictionRecord[];
  readonly trainingSample?: TrainingSample;
  readonly ownHistory?: readonly OwnHistoryReply[];
  readonly text?: TextCheck;
  /** Texts of special tokens of the model. */
  readonly specialTokens: readonly string[];
  /** Unsafe words in a text, by the lists of the data set. */
  readonly unsafeWords: (text: string) => readonly string[];
}

export interface Figure {
  readonly name: string;
  readonly value: number;
  /** What a healthy run shows. */
  readonly expected?: string;
  readonly unit?: "share" | "nats" | "count" | "score";
}

export interface FindingExample {
  /** The end of the conversation, or where in the run it stands. */
  readonly context: string;
  readonly reference?: string;
  readonly prediction: string;
  readonly note?: string;
}

export interface Remedy {
  readonly text: Text;
  /** `key=value` pairs that `attune train --from-finding ID` sets. */
  readonly set: readonly string[];
  /** Commands for what no setting of training mends. */
  readonly commands?: readonly string[];
}

/** What a detector says; the picture is drawn here and saved by the caller. */
export interface DetectedFinding {
  readonly title: Text;
  readonly evidence: readonly Figure[];
  readonly picture?: Markup;
  /** At most three. */
  readonly examples: readonly FindingExample[];
  /** 0–1. */
  readonly confidence: number;
  readonly severity: "high" | "medium" | "low";
  readonly remedy: Remedy;
}

export interface Detector {
  /** Stable; `--from-finding` takes it. */
  readonly id: string;
  readonly about: Text;
  /** `undefined`: nothing wrong, or not enough to tell. */
  readonly detect: (run: Diagnosed) => DetectedFinding | undefined;
}

/** A finding as findings.json holds it. */
export interface Finding extends Omit<DetectedFinding, "picture"> {
  readonly id: string;
  readonly about: Text;
  /** File beside findings.json. */
  readonly picture?: string;
}
