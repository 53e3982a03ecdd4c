/** Which settings a run may change when it goes on, and which it must keep: one table, exhaustive by type. */
import { isDeepStrictEqual } from "node:util";
import { UserError, excerpt } from "../util/index.ts";
import type { TrainConfig } from "./schema.ts";

/** Dotted keys of a configuration; lists and free maps count as one value. */
type KeysOf<T> = {
  [K in keyof T & string]: NonNullable<T[K]> extends string | number | boolean | readonly unknown[]
    ? K
    : string extends keyof NonNullable<T[K]>
      ? K
      : `${K}.${KeysOf<NonNullable<T[K]>>}`;
}[keyof T & string];

export type SettingKey = KeysOf<TrainConfig>;

export interface SettingChange {
  readonly key: SettingKey;
  readonly before: unknown;
  readonly after: unknown;
}

/** Why a change is refused, or `undefined` where it is safe. */
type Verdict = string | undefined;

export interface ResumeState {
  readonly before: TrainConfig;
  readonly after: TrainConfig;
  /** Steps done. */
  readonly step: number;
  /** Warm-up steps as planned before and now. */
  readonly warmupSteps: readonly [before: number, after: number];
}

interface Rule {
  /** Never to be changed: its value is part of a checkpoint's fingerprint. */
  readonly fixed: boolean;
  readonly judge: (change: SettingChange, state: ResumeState) => Verdict;
}

/** Changes no number of the run. */
const safe: Rule = { fixed: false, judge: () => undefined };
/** What it names is compared by its content elsewhere, so a file may have moved. */
const comparedByContent: Rule = safe;
const fixed = (why: string): Rule => ({ fixed: true, judge: () => why });
const upwards = (otherwise: string): Rule => ({
  fixed: false,
  judge: ({ before, after }) => (Number(after) >= Number(before) ? undefined : otherwise),
});

const parameters = fixed("it decides what is trained, and the checkpoint holds the old shape or meaning");
const order = fixed("it decides the batches, and the run would not go on where it stopped");
const update = fixed("it decides every update");
const judging = fixed("it decides which adapter is the best so far, and the figures would not compare");

/** A longer run is the same run only where the past steps' learning rates do not depend on the length. */
const length: Rule = {
  fixed: false,
  judge: ({ before, after }, { after: config, step, warmupSteps }) => {
    if (config.schedule.kind !== "constant") {
      return `the ${config.schedule.kind} schedule is laid out over all steps, so past learning rates would have been others`;
    }
    if (warmupSteps[0] !== warmupSteps[1] && step < Math.max(...warmupSteps)) {
      return "the warm-up, a share of all steps, is not over yet";
    }
    if (before === undefined || after === undefined) return undefined;
    return Number(after) >= Number(before) || Number(after) >= step
      ? undefined
      : `${step} steps are done already`;
  },
};

/** Every setting has a rule: one without does not compile. */
export const resumeRules: { readonly [K in SettingKey]: Rule } = {
  model: comparedByContent,
  "data.train": comparedByContent,
  "data.validation": comparedByContent,
  "data.validationShare": order,
  "data.longShare": order,
  "data.fields": order,
  out: safe,
  method: parameters,
  seed: order,
  "lora.rank": parameters,
  "lora.alpha": parameters,
  "lora.dropout": update,
  "lora.targets": parameters,
  "lora.rsLora": parameters,
  "lora.dora": parameters,
  "lora.modulesToSave": parameters,
  "lora.from": parameters,
  "training.epochs": length,
  "training.steps": length,
  "training.batch": order,
  "training.batchTokens": order,
  "training.microTokens": order,
  "training.lanes": order,
  "training.maxLength": order,
  "training.fold": order,
  "training.slidingWindow": parameters,
  "training.base": update,
  "training.backward": update,
  "training.blockSize": update,
  "training.dropout.residual": update,
  "training.dropout.attention": update,
  "training.neftune": update,
  "training.saveAs": safe,
  "training.precision": update,
  "training.activations": update,
  "training.checkpointing": safe,
  "optimizer.learningRate": update,
  "optimizer.weightDecay": update,
  "optimizer.decay": update,
  "optimizer.clipNorm": update,
  "optimizer.loraPlusRatio": update,
  "optimizer.beta1": update,
  "optimizer.beta2": update,
  "optimizer.epsilon": update,
  "schedule.kind": update,
  "schedule.warmupShare": update,
  "schedule.warmupSteps": update,
  "schedule.decayShare": update,
  "evaluation.every": judging,
  "evaluation.patience": upwards("fewer evaluations without improvement might have stopped the run before"),
  "evaluation.minDelta": judging,
  "evaluation.probes": safe,
  "checkpoint.every": safe,
  "checkpoint.keep": safe,
  "template.separator": order,
  "template.keepFirstTurns": order,
  "runtime.threads": safe,
  "runtime.provider": safe,
  "runtime.memory": safe,
};

/** The settings that a checkpoint is good for alone. */
export function fixedSettings(config: TrainConfig): Readonly<Record<string, unknown>> {
  const keys = (Object.keys(resumeRules) as SettingKey[]).filter((key) => resumeRules[key].fixed);
  return Object.fromEntries(keys.map((key) => [key, valueAt(config, key) ?? null]));
}

/** Every setting that differs, in the table's order. */
export function settingChanges(before: TrainConfig, after: TrainConfig): readonly SettingChange[] {
  return (Object.keys(resumeRules) as SettingKey[])
    .map((key) => ({ key, before: valueAt(before, key), after: valueAt(after, key) }))
    .filter((change) => !isDeepStrictEqual(change.before, change.after));
}

/**
 * The changes between the configuration a run began with and the one it is to go on with. Throws a `UserError` that
 * names the first unsafe one: key, old value, new value, reason.
 */
export function safeChanges(state: ResumeState, folder: string): readonly SettingChange[] {
  const changes = settingChanges(state.before, state.after);
  const refused = changes.flatMap((change) => {
    const why = resumeRules[change.key].judge(change, state);
    return why === undefined ? [] : [{ ...change, why }];
  });
  const [first, ...others] = refused;
  if (first === undefined) return changes;
  const more = others.length === 0 ? "" : ` (also changed: ${others.map(({ key }) => key).join(", ")})`;
  throw new UserError(
    `${first.key} was ${shown(first.before)} when the run in ${folder} began and is ${shown(first.after)} now: ${first.why}${more}`,
    { next: `Resume with ${first.key} as it was, or start a new run under another --out.` },
  );
}

function valueAt(config: TrainConfig, key: SettingKey): unknown {
  let value: unknown = config;
  for (const part of key.split(".")) value = (value as Record<string, unknown> | undefined)?.[part];
  return value;
}

function shown(value: unknown): string {
  return value === undefined ? "not set" : excerpt(JSON.stringify(value), 60);
}
