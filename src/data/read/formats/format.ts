/** Which file format a text has: by what stands in it first, by its name second. */
import { findRowShape, sampleObject } from "./shape.ts";
import type { FileFormat } from "../types.ts";
import type { DocumentShape } from "./json-document.ts";

export interface FormatGuess {
  readonly format: Exclude<FileFormat, "parquet">;
  readonly evidence: string;
  readonly shape?: DocumentShape;
  readonly delimiter?: string;
}

const DELIMITERS: readonly (readonly [string, string])[] = [
  [",", "commas"],
  ["\t", "tabs"],
  [";", "semicolons"],
  ["|", "bars"],
];

/** The extension of a path without ".gz", lower case, without the dot. */
export function extensionOf(path: string): string {
  const name = path.toLowerCase().replace(/\.gz$/, "");
  return /\.([a-z0-9]+)$/.exec(name)?.[1] ?? "";
}

/**
 * `sample` is the beginning of the text and `whole` says that nothing follows. `isRow` tells whether a
 * value is a row of some known layout. `undefined`: neither JSON nor a table.
 */
export function guessFormat(
  path: string,
  sample: string,
  whole: boolean,
  isRow: (value: unknown) => boolean,
  forced?: FileFormat,
): FormatGuess | undefined {
  const extension = extensionOf(path);
  const start = sample.trimStart().charAt(0);
  if (forced === "jsonl") return { format: "jsonl", evidence: "chosen by the caller" };
  if (forced === "json") {
    return { format: "json", evidence: "chosen by the caller", shape: findRowShape(sample, whole, isRow) };
  }
  if (forced === "csv" || forced === "tsv") return table(sample, forced, "chosen by the caller");
  const isTable = extension === "csv" || extension === "tsv";
  if (!isTable && (start === "{" || start === "[")) return guessJson(extension, sample, whole, start, isRow);
  if (isTable) return table(sample, extension, `the name ends in .${extension}`);
  if (["json", "jsonl", "ndjson"].includes(extension)) {
    return {
      format: "jsonl",
      evidence: `the name ends in .${extension}, but the text begins neither with { nor with [`,
    };
  }
  if (/^\s*\{/m.test(sample)) return { format: "jsonl", evidence: "some lines begin with {" };
  return DELIMITERS.some(([delimiter]) => firstLine(sample).includes(delimiter)) ? table(sample) : undefined;
}

function table(sample: string, named?: "csv" | "tsv", reason?: string): FormatGuess {
  const header = firstLine(sample);
  const [delimiter, name] =
    named === "tsv"
      ? DELIMITERS[1]!
      : DELIMITERS.reduce((best, next) =>
          header.split(next[0]).length > header.split(best[0]).length ? next : best,
        );
  const evidence = `the first line is divided by ${name}`;
  return {
    format: delimiter === "\t" ? "tsv" : "csv",
    evidence: reason === undefined ? evidence : `${reason}; ${evidence}`,
    delimiter,
  };
}

function guessJson(
  extension: string,
  sample: string,
  whole: boolean,
  start: string,
  isRow: (value: unknown) => boolean,
): FormatGuess {
  const lines = sample.trimStart().split("\n");
  if (!whole) lines.pop();
  const filled = lines.filter((line) => line.trim() !== "");
  const looked = filled.slice(0, 50);
  const objects = looked.filter((line) => line.startsWith("{") && parses(line)).length;
  const arrays = start === "[" && looked.length > 1 && parses(looked[0]!) && looked[1]!.startsWith("[");
  // The last element of an array may stand alone on its line too; two such lines are none.
  const isLines = arrays || objects > (start === "[" ? 1 : 0);
  const one = start === "{" ? sampleObject(sample, whole) : undefined;
  if (isLines && one === undefined) {
    return {
      format: "jsonl",
      evidence: `${arrays ? looked.filter(parses).length : objects} of the first ${looked.length} lines are JSON by themselves`,
    };
  }
  const named = extension === "jsonl" || extension === "ndjson";
  if (start === "{" && one === undefined && filled[0]?.trim() !== "{") {
    // No whole line of JSON in the sample, and no document over several lines either.
    if (named && filled.length === 0) {
      return {
        format: "jsonl",
        evidence: `the name ends in .${extension}; the first line is longer than the sample`,
      };
    }
    if (filled.length > 1 && (named || filled[1]!.startsWith("{"))) {
      return { format: "jsonl", evidence: "several lines begin with {, though none of them is whole" };
    }
  }
  const shape = start === "[" ? "array" : findRowShape(sample, whole, isRow);
  if (shape === "single" && filled.length === 1)
    return { format: "jsonl", evidence: "one line, one JSON object" };
  const words: Record<DocumentShape, string> = {
    array: "the text begins with [: one array of rows",
    members: "one JSON object whose members are the rows",
    wrapped: "one JSON object with a list of rows inside",
    sequence: "JSON objects one after another, over several lines each",
    single: "one JSON object that is a row itself",
  };
  return { format: "json", evidence: words[shape], shape };
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function firstLine(sample: string): string {
  return /^\s*([^\r\n]*)/.exec(sample)?.[1] ?? "";
}
