/** What a report is made of: every part with the evidence, or with the reason why there is none. */
import type { Manifest } from "../../data/index.ts";
import type { Findings } from "../diagnose/index.ts";
import type { RatingResults } from "../rate/index.ts";
import type { RunCurves } from "./events.ts";
import type { ReportedEvaluation } from "./evaluation-file.ts";

/** A text in both languages of the report. */
export interface Text {
  readonly en: string;
  readonly zh: string;
}

/** Something that was looked for: there, or not there and why. */
export type Part<T> =
  | { readonly found: T; readonly missing?: undefined }
  | { readonly found?: undefined; readonly missing: Text };

/** The settings of a run that the report names; a training configuration fits. */
export interface ReportSettings {
  readonly model: string;
  readonly data: { readonly train: string; readonly validation?: string | undefined };
  readonly seed: number;
  readonly lora: {
    readonly rank: number;
    readonly alpha: number;
    readonly dropout: number;
    readonly targets: string | readonly string[];
    readonly rsLora: boolean;
  };
  readonly training: {
    readonly epochs: number;
    readonly steps?: number | undefined;
    readonly batch: number;
    readonly base: string;
    readonly fold: boolean;
  };
  readonly optimizer: {
    readonly learningRate: number;
    readonly weightDecay: number;
    readonly clipNorm: number;
  };
  readonly schedule: { readonly kind: string };
  readonly runtime: { readonly provider: string };
}

/** What run.json says. */
export interface RunOrigin {
  readonly modelName?: string;
  readonly weights?: string;
  readonly split?: string;
  readonly sources: readonly {
    readonly path: string;
    readonly sha256?: string;
    readonly examples?: number;
  }[];
  /** What was left out of the training set. */
  readonly cut?: { readonly rows: number; readonly messages: number; readonly rejected: number };
}

/** The data set of a run, by its own manifest. */
export interface DataFacts {
  readonly path: string;
  readonly manifest: Manifest;
  /** The manifest is not the one the run was trained with. */
  readonly changed: boolean;
  readonly hasReport: boolean;
}

export interface ReplyShown {
  readonly system: string;
  readonly text: string;
  readonly stoppedBy?: string;
}

/** One prompt with what every system said. */
export interface DialogueShown {
  readonly id: string;
  readonly intent?: string;
  readonly depth?: number;
  readonly seen?: boolean;
  readonly context: readonly { readonly role: string; readonly content: string }[];
  /** Messages before those shown. */
  readonly earlier: number;
  readonly reference?: string;
  readonly replies: readonly ReplyShown[];
  /** chrF of the run's reply against the reference, 0–100. */
  readonly score: number;
}

export interface Dialogues {
  readonly shown: readonly DialogueShown[];
  /** Prompts among which they were chosen. */
  readonly among: number;
  /** Lines that are no predictions, or too long. */
  readonly unreadable: number;
  readonly firstUnreadable?: number;
}

export interface FoundFindings extends Findings {
  /** SVG texts by the name that a finding gives. */
  readonly pictures: ReadonlyMap<string, string>;
}

/** Paths for people, as short as they can be from here. */
export interface ReportPaths {
  readonly run: string;
  readonly evaluation: string;
  readonly diagnosis: string;
  readonly ratings: string;
}

export interface ReportFacts {
  /** The folder's name. */
  readonly name: string;
  readonly paths: ReportPaths;
  readonly settings: ReportSettings;
  readonly origin: RunOrigin;
  readonly curves: Part<RunCurves>;
  readonly data: Part<DataFacts>;
  readonly evaluation: Part<ReportedEvaluation>;
  readonly dialogues: Part<Dialogues>;
  readonly findings: Part<FoundFindings>;
  readonly ratings: Part<RatingResults>;
  readonly madeBy: string;
  /** ISO date. */
  readonly date: string;
}
