/** The examples of a run: prepared folder or plain files, split by conversation, with hashes. */
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { openDataset } from "../data/dataset/index.ts";
import type { Corpus } from "../data/feed/index.ts";
import { readExamples } from "../data/read/index.ts";
import { raiseLongShare } from "../data/shape/index.ts";
import type { Example } from "../model/text/index.ts";
import { UserError, explainReadError, random, sha256OfFile } from "../util/index.ts";
import type { TrainConfig } from "./schema.ts";

export interface DataSource {
  readonly path: string;
  readonly sha256: string;
  readonly examples: number;
}

export interface TrainingData {
  readonly training: readonly Example[];
  readonly validation: readonly Example[];
  readonly sources: readonly DataSource[];
  /** How the validation set came about, for people. */
  readonly split: string;
  /** What pre-training reads, instead of examples; its documents from `heldOutFrom` on are measured on. */
  readonly corpus?: Corpus & { readonly heldOutFrom: number };
}

/** Reads everything that the run learns from and is measured on. */
export async function readTrainingData(data: TrainConfig["data"], seed: number): Promise<TrainingData> {
  const found = await stat(data.train).catch((error: unknown) => {
    throw explainReadError(error, data.train, "the training data");
  });
  if (found.isDirectory()) return withLongShare(await readPrepared(data.train), data.longShare, seed);
  const { fields } = data;
  const read = async (path: string): Promise<Example[]> => {
    const examples: Example[] = [];
    for await (const example of readExamples(path, fields === undefined ? {} : { fields }))
      examples.push(example);
    if (examples.length === 0) {
      throw new UserError(`${path} holds no examples`, { next: "Check that it is the file you meant." });
    }
    return examples;
  };
  const source = async (path: string, examples: number): Promise<DataSource> => ({
    path,
    sha256: await sha256OfFile(path),
    examples,
  });
  const all = await read(data.train);
  if (data.validation !== undefined) {
    const validation = await read(data.validation);
    const given = {
      training: all,
      validation,
      sources: [await source(data.train, all.length), await source(data.validation, validation.length)],
      split: `validation from ${basename(data.validation)}`,
    };
    return withLongShare(given, data.longShare, seed);
  }
  const heldOut = {
    ...splitByConversation(all, data.validationShare, seed),
    sources: [await source(data.train, all.length)],
    split: `${data.validationShare * 100} % of the conversations held out for validation`,
  };
  return withLongShare(heldOut, data.longShare, seed);
}

/** Repeats training rows of more than five user messages, each at most ten times, until they have the wanted share. */
function withLongShare(read: TrainingData, share: number | undefined, seed: number): TrainingData {
  if (share === undefined) return read;
  const { training, split } = read;
  const turns = Uint16Array.from(
    training,
    ({ messages }) => messages.filter(({ role }) => role === "user").length,
  );
  const { copies, report } = raiseLongShare(
    { turns, intent: new Uint32Array(training.length) },
    new Uint16Array(training.length).fill(1),
    1,
    // Intents may stand in any proportion here: balancing them is for `attune data prepare`.
    { overTurns: 5, share, maxCopies: 10, maxIntentShare: 1, seed },
  );
  const repeated = training.flatMap((example, i) => Array.from({ length: copies[i]! }, () => example));
  const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
  return {
    ...read,
    training: repeated,
    split: `${split}; long rows repeated, ${percent(report.shareBefore)} → ${percent(report.shareAfter)}`,
  };
}

async function readPrepared(folder: string): Promise<TrainingData> {
  const dataset = await openDataset(folder);
  const collect = async (split: "train" | "validation"): Promise<Example[]> => {
    const examples: Example[] = [];
    for await (const example of dataset.examples(split)) examples.push(example);
    return examples;
  };
  const [training, validation] = [await collect("train"), await collect("validation")];
  const manifest = `${folder}/dataset.json`;
  return {
    training,
    validation,
    sources: [
      { path: folder, sha256: await sha256OfFile(manifest), examples: training.length + validation.length },
    ],
    split: "the splits of the prepared data set",
  };
}

/** Holds out whole conversations: all rows of one dialogue fall on one side. */
export function splitByConversation(
  examples: readonly Example[],
  share: number,
  seed: number,
): { training: Example[]; validation: Example[] } {
  const dialogues = [...new Set(examples.map(({ dialogueId }) => dialogueId))];
  const count = share === 0 ? 0 : Math.max(1, Math.round(dialogues.length * share));
  if (count >= dialogues.length) {
    throw new UserError(
      `the data hold ${dialogues.length} conversation(s): too few to hold some out for validation`,
      {
        next: "Give a file of its own with --set data.validation=FILE, or set data.validationShare to 0.",
      },
    );
  }
  const heldOut = new Set(random(seed, "validation split").shuffle(dialogues).slice(0, count));
  return {
    training: examples.filter(({ dialogueId }) => !heldOut.has(dialogueId)),
    validation: examples.filter(({ dialogueId }) => heldOut.has(dialogueId)),
  };
}
