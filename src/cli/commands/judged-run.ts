/** What a run or a model is judged with: its systems, its training data, and the replies asked for. */
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { openDataset } from "../../data/dataset/index.ts";
import type { Split } from "../../data/index.ts";
import { readExamples } from "../../data/read/index.ts";
import type { ModelSystem, System } from "../../judge/index.ts";
import { isAdapterFolder } from "../../model/weights/index.ts";
import type { Example } from "../../model/text/index.ts";
import {
  type TrainConfig,
  isModelFolder,
  isRunFolder,
  readTrainingData,
  resolveConfig,
  runConfigPath,
  runFolder,
  trainConfigSchema,
} from "../../project/index.ts";
import { UserError, errorMessage, explainReadError, nearest, sha256OfFile } from "../../util/index.ts";

export interface JudgedRun {
  readonly folder: string;
  readonly config: TrainConfig;
  /** Empty, with the reason in `trainingMissing`, where the data are gone. */
  readonly training: readonly Example[];
  readonly trainingMissing?: string;
  readonly validation: readonly Example[];
}

/** The configuration and data of a run. Data that are gone are no error: most questions do not need them. */
export async function openJudgedRun(folder: string): Promise<JudgedRun> {
  const { config } = await resolveConfig(trainConfigSchema, { file: runConfigPath(folder) });
  if (config.method === "pretrain")
    return { folder, config, training: [], validation: [], trainingMissing: "the run learned from text" };
  try {
    const { training, validation } = await readTrainingData(config.data, config.seed);
    return { folder, config, training, validation };
  } catch (error) {
    return { folder, config, training: [], validation: [], trainingMissing: errorMessage(error) };
  }
}

export interface JudgedData {
  readonly path: string;
  readonly sha256?: string;
  readonly examples: readonly Example[];
}

/** The examples of `on`: a file, or a split of a prepared folder. Absent: what the run in `target` held out. */
export async function openJudgedData(
  target: string,
  on: string | undefined,
  split: Split | undefined,
  run: JudgedRun | undefined,
): Promise<JudgedData> {
  const text = run?.config.method === "pretrain";
  if (text && on === undefined) {
    throw new UserError("the run learned from text and held out no dialogues", {
      next: "Name dialogues with --on DATA.",
    });
  }
  const prepared = run === undefined || text ? undefined : await preparedFolder(run.config.data.train);
  const path = on ?? prepared;
  if (path === undefined) {
    if (run === undefined) {
      throw new UserError(`${target} is not the folder of a run, which would have held dialogues out`, {
        next: "Check the path; to judge a model, name dialogues with --on DATA.",
      });
    }
    if (run.trainingMissing !== undefined) {
      throw new UserError(`the run's data cannot be read: ${run.trainingMissing}`, {
        next: "Name data with --on DATA.",
      });
    }
    if (run.validation.length === 0) {
      throw new UserError("the run held nothing out", { next: "Name data with --on DATA." });
    }
    const source = run.config.data.validation ?? run.config.data.train;
    return {
      path: run.config.data.validation ?? `what the run held out of ${source}`,
      examples: run.validation,
    };
  }
  const found = await stat(path).catch((error: unknown) => {
    throw explainReadError(error, path, "the data");
  });
  const examples: Example[] = [];
  if (found.isDirectory()) {
    const chosen = split ?? "test";
    const dataset = await openDataset(path);
    for await (const example of dataset.examples(chosen)) examples.push(example);
    if (examples.length === 0) {
      throw new UserError(`the ${chosen} split of ${path} is empty`, {
        next: "Choose another with --split.",
      });
    }
    return { path: `${path} (${chosen})`, sha256: await sha256OfFile(`${path}/dataset.json`), examples };
  }
  const fields = run?.config.data.fields;
  for await (const example of readExamples(path, fields === undefined ? {} : { fields }))
    examples.push(example);
  if (examples.length === 0)
    throw new UserError(`${path} holds no examples`, { next: "Check that it is the file you meant." });
  return { path, sha256: await sha256OfFile(path), examples };
}

async function preparedFolder(path: string): Promise<string | undefined> {
  const folder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return folder ? path : undefined;
}

const known = ["base", "adapter", "retrieval", "frequent"] as const;

/** Systems by name: `base`, `adapter`, `retrieval`, `frequent`, or the folder of another run. The first is the baseline. */
export async function systemsOf(
  names: readonly string[],
  target: string,
  run: JudgedRun | undefined,
): Promise<System[]> {
  const systems: System[] = [];
  for (const name of names) systems.push(await systemOf(name, target, run));
  // Runs of one name in different folders are told apart by their folders.
  return systems.map((system, i) =>
    system.kind === "run" && systems.some((other, j) => i !== j && other.name === system.name)
      ? { ...system, name: names[i]! }
      : system,
  );
}

async function systemOf(name: string, target: string, run: JudgedRun | undefined): Promise<System> {
  switch (name) {
    case "base":
      return { kind: "base", name, model: run?.config.model ?? target };
    case "adapter":
      if (run === undefined) {
        throw new UserError(`${target} is no run: it has no adapter`, {
          next: "Leave `adapter` out of --systems.",
        });
      }
      return tunedSystem(name, "tuned", run.config, run.folder);
    case "retrieval":
    case "frequent":
      return { kind: name, name };
    default: {
      if (!(await isRunFolder(name))) {
        const near = nearest(name, known);
        throw new UserError(`${name} is neither a system nor the folder of a run`, {
          at: "--systems",
          next:
            near === undefined
              ? `There are ${known.join(", ")}, and runs by their folder.`
              : `Did you mean ${near}?`,
        });
      }
      const { config } = await resolveConfig(trainConfigSchema, { file: runConfigPath(name) });
      return tunedSystem(basename(resolve(name)), "run", config, name);
    }
  }
}

async function tunedSystem(
  name: string,
  kind: "tuned" | "run",
  config: TrainConfig,
  folder: string,
): Promise<ModelSystem> {
  const { adapter, model } = runFolder(folder);
  const whole = config.method !== "lora" && (await isModelFolder(model));
  if (!whole && !(await isAdapterFolder(adapter))) {
    throw new UserError(`the run ${folder} has no ${config.method === "lora" ? "adapter" : "model"} yet`, {
      next: `Go on training with: attune train --resume ${folder}`,
    });
  }
  const { separator, keepFirstTurns } = config.template;
  const { slidingWindow } = config.training;
  return {
    kind,
    name,
    ...(whole ? { model } : { model: config.model, adapter }),
    ...(separator === undefined ? {} : { separator }),
    ...(keepFirstTurns === 0 ? {} : { keepFirstTurns }),
    ...(slidingWindow === undefined ? {} : { slidingWindow }),
  };
}
