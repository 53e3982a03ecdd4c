/** Opening a prepared data set: checks the manifest, then streams the examples of each split. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Example } from "../../model/text/index.ts";
import { UserError, readJsonLines } from "../../util/index.ts";
import { SPLITS, type Split } from "../shape/index.ts";
import { lineToExample } from "./line.ts";
import { type Manifest, readManifest, splitFile } from "./manifest.ts";

export interface Dataset {
  readonly folder: string;
  readonly manifest: Manifest;
  /** The examples of a split in file order, each checked; a broken line is a `UserError` with its place. */
  examples(split: Split): AsyncGenerator<Example>;
}

/** Opens a folder that `attune data prepare` made. Errors are `UserError`s: no manifest, wrong version, a missing file. */
export async function openDataset(folder: string): Promise<Dataset> {
  const manifest = await readManifest(folder);
  for (const split of SPLITS) {
    const path = join(folder, splitFile(split));
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true) {
      throw new UserError(`the data set lacks ${splitFile(split)}`, {
        at: folder,
        next: "Make it again with `attune data prepare`.",
      });
    }
  }
  return { folder, manifest, examples: (split) => readExamples(join(folder, splitFile(split))) };
}

/** Reads a file of examples line by line. */
export async function* readExamples(path: string): AsyncGenerator<Example> {
  for await (const { value, line } of readJsonLines(path)) yield lineToExample(value, `${path}:${line}`);
}
