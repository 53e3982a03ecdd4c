/** Plants a fault: really trains the embedded model, really judges the run, and says which findings a diagnosis makes. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { diagnoseRun } from "../../src/cli/commands/diagnose.ts";
import { terminalOutput } from "../../src/cli/terminal.ts";
import type { Finding } from "../../src/judge/index.ts";
import {
  type PreparedRun,
  prepareRun,
  resolveConfig,
  runTraining,
  trainConfigSchema,
} from "../../src/project/index.ts";
import type { RunEvent } from "../../src/train/index.ts";
import type { DialogueRow } from "./rows.ts";

export const embeddedModel = fileURLToPath(new URL("../../assets/quickstart/model", import.meta.url));

/** Where a case works: nothing outside `folder` is written. */
export interface Workplace {
  readonly folder: string;
  /** The model that the run is based on; `prepare` may bring its own. */
  readonly model: string;
  readonly run: string;
}

export interface FaultCase {
  readonly id: string;
  /** What was done to the run, in words. */
  readonly fault: string;
  /** Findings that must be made. Empty: a healthy run, on which every detector must be silent. */
  readonly expected: readonly string[];
  readonly train: () => readonly DialogueRow[] | Promise<readonly DialogueRow[]>;
  /** What the run is measured on while it trains. */
  readonly heldOut: () => readonly DialogueRow[] | Promise<readonly DialogueRow[]>;
  /** Other conversations to judge it on: where the data hold the fault, what was held out of them holds it too. */
  readonly judgedOn?: () => readonly DialogueRow[] | Promise<readonly DialogueRow[]>;
  /** `key: value` over the settings that all cases share. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Replies judged. */
  readonly judged?: number;
  readonly maxNewTokens?: number;
  /** Brings another base model. */
  readonly model?: (place: Workplace) => Promise<string>;
  /** Changes what is trained on where no setting can. */
  readonly tamper?: (prepared: PreparedRun) => PreparedRun;
  /** Between training and diagnosis. */
  readonly after?: (place: Workplace) => Promise<void>;
}

export interface Planted {
  readonly findings: readonly Finding[];
  readonly run: string;
  readonly lossBefore: number;
  readonly lossBest: number;
  readonly lossLast: number;
  readonly steps: number;
  readonly trainSeconds: number;
  readonly diagnoseSeconds: number;
}

const shared = {
  "evaluation.probes": 0,
  "lora.targets": "all-linear",
  "lora.dropout": 0.05,
  "training.batch": 8,
  "optimizer.learningRate": 2e-3,
} as const;

const jsonLines = (rows: readonly object[]): string =>
  `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`;

export async function plant(one: FaultCase, folder: string): Promise<Planted> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const place = { folder, model: embeddedModel, run: join(folder, "run") };
  const [train, heldOut] = [join(folder, "train.jsonl"), join(folder, "held-out.jsonl")];
  await writeFile(train, jsonLines(await one.train()));
  await writeFile(heldOut, jsonLines(await one.heldOut()));
  const model = (await one.model?.(place)) ?? embeddedModel;
  const { config, origins } = await resolveConfig(trainConfigSchema, {
    flags: { ...shared, ...one.settings, model, "data.train": train, "data.validation": heldOut },
  });
  const began = performance.now();
  const evaluations: Extract<RunEvent, { type: "evaluation" }>[] = [];
  let steps = 0;
  {
    await using prepared = await prepareRun(config);
    const trained = one.tamper?.(prepared) ?? prepared;
    for await (const event of runTraining(trained, { origins, folder: place.run, resume: false })) {
      if (event.type === "evaluation") evaluations.push(event);
      if (event.type === "step") steps = event.step;
    }
  }
  const trained = performance.now();
  const on = join(folder, "judged-on.jsonl");
  if (one.judgedOn !== undefined) await writeFile(on, jsonLines(await one.judgedOn()));
  await one.after?.({ ...place, model });
  const quiet = new PassThrough();
  quiet.resume();
  const findings = await diagnoseRun(
    place.run,
    {
      limit: one.judged ?? 40,
      batch: 20,
      seed: 0,
      samples: 200,
      speedSeconds: 0,
      ...(one.judgedOn === undefined ? {} : { on }),
      ...(one.maxNewTokens === undefined ? {} : { maxNewTokens: one.maxNewTokens }),
    },
    terminalOutput({ json: false }, { stdout: quiet, stderr: quiet }),
  );
  const losses = evaluations.map(({ validationLoss }) => validationLoss);
  return {
    findings,
    run: place.run,
    lossBefore: losses[0] ?? Number.NaN,
    lossBest: Math.min(...losses),
    lossLast: losses.at(-1) ?? Number.NaN,
    steps,
    trainSeconds: (trained - began) / 1000,
    diagnoseSeconds: (performance.now() - trained) / 1000,
  };
}
