/** Reads conversations out of files, folders, archives and standard input, one source after another. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { UserError, explainReadError, sha256OfFile } from "../../util/index.ts";
import type { ReadResult } from "../record.ts";
import { checkFieldNames, isKnownRow, mapFields, requireLayout } from "./detect-layout.ts";
import { decodeText, detectEncoding, type Encoding } from "./encoding.ts";
import { csvParser } from "./formats/csv.ts";
import { guessFormat, type FormatGuess } from "./formats/format.ts";
import { jsonDocumentParser } from "./formats/json-document.ts";
import { jsonLinesParser } from "./formats/json-lines.ts";
import { parquetBytes, parquetFile, parquetRows, type ParquetSource } from "./formats/parquet.ts";
import type { RowParser, RowParserOptions } from "./formats/rows.ts";
import { expandInputs, type InputFile } from "./inputs.ts";
import { LAYOUTS } from "./layouts/table.ts";
import {
  gunzip,
  hold,
  isGzip,
  isParquet,
  isZip,
  openZip,
  peek,
  unpackBudget,
  type Bytes,
  type UnpackBudget,
} from "./packed.ts";
import { recordMaker } from "./rows-to-records.ts";
import {
  DEFAULT_LIMITS,
  type ReadLimits,
  type ReadOptions,
  type ReadReport,
  type SourceReport,
} from "./types.ts";
import { UnusableSource } from "./unusable.ts";

const PIECE_BYTES = 256 * 1024;
const SAMPLE_BYTES = 256 * 1024;

export type SourceReading = AsyncGenerator<ReadResult, void> & {
  /** Fills while the records are read. */
  readonly report: ReadReport;
};

/**
 * Yields every row of `inputs` (files, folders, globs, "-") as records or as a rejection. Files that the
 * user named and that cannot be read are `UserError`s; those of folders and archives are skipped with
 * their reason in `report`, as long as another one can be read.
 */
export function readSources(inputs: readonly string[], options: ReadOptions = {}): SourceReading {
  const report: ReadReport = { sources: [], ignored: [] };
  return Object.assign(readResults(inputs, options, report), { report });
}

async function* readResults(
  inputs: readonly string[],
  options: ReadOptions,
  report: ReadReport,
): AsyncGenerator<ReadResult, void> {
  if (options.format !== undefined) requireLayout(options.format);
  if (options.fields !== undefined) checkFieldNames(options.fields, LAYOUTS);
  const { files, ignored } = await expandInputs(inputs);
  report.ignored.push(...ignored);
  const run = newRun(options, report, files);
  for (const file of files) {
    for await (const batch of readFile(file, run)) for (const result of batch) yield result;
    run.doneBytes += file.bytes ?? 0;
  }
  if (report.sources.every((source) => source.status !== "read")) {
    const reasons = report.sources.slice(0, 3).map((source) => source.skipReason ?? "");
    throw new UserError(`no rows can be read from ${inputs.join(", ")}. ${reasons.join(" ")}`.trim());
  }
}

/** What all sources of one reading share. */
interface Run {
  readonly options: ReadOptions;
  readonly limits: ReadLimits;
  readonly report: ReadReport;
  readonly labels: Set<string>;
  readonly totalBytes: number | undefined;
  /** Bytes of the inputs that are finished. */
  doneBytes: number;
  rowsBefore: number;
}

function newRun(options: ReadOptions, report: ReadReport, files: readonly InputFile[]): Run {
  return {
    options,
    report,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    labels: options.labels ?? new Set(),
    totalBytes: files.some((file) => file.bytes === undefined)
      ? undefined
      : files.reduce((sum, file) => sum + file.bytes!, 0),
    doneBytes: 0,
    rowsBefore: 0,
  };
}

type Batches = AsyncGenerator<readonly ReadResult[]>;

/** One input file: what its first bytes say it is decides how it is read. */
async function* readFile(file: InputFile, run: Run): Batches {
  const head = file.path === "-" ? undefined : await headOf(file.path);
  if (head !== undefined && (isZip(head) || isParquet(head))) {
    const disk = { bytes: file.bytes!, sha256: await sha256OfFile(file.path) };
    if (isZip(head)) yield* readZip(file.path, file.path, file.named, disk, run);
    else {
      const source = newSource(file.path, run, disk);
      const parquet = await parquetFile(file.path);
      yield* guarded(source, file.named, run, readParquet(parquet, source, run));
    }
    return;
  }
  const name = file.path === "-" ? "standard input" : file.path;
  const source = newSource(name, run);
  const hash = createHash("sha256");
  let bytes = 0;
  const raw = file.path === "-" ? stdinBytes(run.options) : fileBytes(file.path);
  const counted = (async function* (): AsyncGenerator<Buffer> {
    for await (const piece of raw) {
      hash.update(piece);
      bytes += piece.length;
      yield piece;
      progress(run, source, bytes);
    }
    source.bytes = bytes;
    source.sha256 = hash.digest("hex");
  })();
  const budget = unpackBudget(name, file.bytes, run.limits);
  yield* guarded(source, file.named, run, readBytes(counted, source, run, budget, 0));
}

/** Runs the reading of one source: finishes its report, and turns an unusable source of a folder into a skipped one. */
async function* guarded(source: SourceReport, named: boolean, run: Run, batches: Batches): Batches {
  try {
    yield* batches;
    if (source.status === "reading") source.status = "read";
  } catch (error) {
    if (!(error instanceof UnusableSource) || named) throw error;
    source.status = "skipped";
    source.skipReason = error.message;
  }
  run.rowsBefore += source.rowsRead;
  // An archive on standard input has been replaced by its members.
  if (run.report.sources.includes(source)) run.options.onSource?.(source);
}

/** A stream of bytes: packed once more, Parquet, or text. */
async function* readBytes(
  bytes: Bytes,
  source: SourceReport,
  run: Run,
  budget: UnpackBudget,
  depth: number,
): Batches {
  const peeked = await peek(bytes, SAMPLE_BYTES);
  try {
    if (isGzip(peeked.head)) {
      if (depth >= 2)
        throw new UserError(`${source.file} is packed more than twice`, { next: "Unpack it first." });
      yield* readBytes(gunzip(peeked.bytes, source.file, budget), source, run, budget, depth + 1);
    } else if (isZip(peeked.head)) {
      if (depth > 0 || source.file.includes("!")) {
        throw new UnusableSource(`${source.file} is an archive inside an archive`, {
          next: "Unpack it first.",
        });
      }
      const archive = await hold(peeked.bytes, source.file, run.limits);
      run.report.sources.splice(run.report.sources.indexOf(source), 1);
      source.status = "skipped";
      yield* readZip(archive, source.file, true, {}, run);
    } else if (isParquet(peeked.head)) {
      const held = parquetBytes(await hold(peeked.bytes, source.file, run.limits));
      yield* readParquet(held, source, run);
    } else yield* readText(peeked.head, peeked.whole, peeked.bytes, source, run);
  } finally {
    await peeked.close();
  }
}

async function* readText(
  head: Buffer,
  whole: boolean,
  bytes: Bytes,
  source: SourceReport,
  run: Run,
): Batches {
  const { options } = run;
  const { encoding, evidence, markBytes } = detectEncoding(head, whole, options.encoding);
  source.encoding = encoding;
  source.encodingEvidence = evidence;
  refuseBinary(head, encoding, source);
  const sampler = decodeText(encoding);
  const sample = sampler.push(head.subarray(markBytes)) + (whole ? sampler.end() : "");
  if (whole && sample.trim() === "")
    throw new UnusableSource(`${source.file} is empty`, { next: "Check the file." });
  const isRow = (value: unknown): boolean => isKnownRow(mapFields(value, options.fields));
  const guess = guessFormat(source.file, sample, whole, isRow, options.fileFormat);
  if (guess === undefined) {
    throw new UnusableSource(`${source.file} is neither JSON nor a table`, {
      next: "Rows come as JSON lines, JSON, CSV, TSV or Parquet.",
    });
  }
  source.fileFormat = guess.format;
  source.fileFormatEvidence = guess.evidence;
  const decoder = decodeText(encoding);
  const parser = parserFor(guess, {
    rowCharacters: run.limits.rowCharacters,
    damaged: () => decoder.damaged,
    note: (sentence) => source.notes.push(sentence),
  });
  const maker = recordMaker(source, labelOf(source.file, run), options);
  let skip = markBytes;
  for await (const piece of bytes) {
    const rest = skip === 0 ? piece : piece.subarray(skip);
    skip = Math.max(0, skip - piece.length);
    const results = maker.accept(parser.push(decoder.push(rest)));
    if (results.length > 0) yield results;
  }
  const last = maker.accept([...parser.push(decoder.end()), ...parser.end()]);
  yield [...last, ...maker.finish()];
}

/** Before bytes that are no text are shown as columns of a table. */
function refuseBinary(head: Buffer, encoding: Encoding, source: SourceReport): void {
  const kind = /\.(parquet|zip)$/i.exec(source.file)?.[1]?.toLowerCase();
  let zeros = 0;
  for (const byte of head) if (byte === 0) zeros += 1;
  const binary = !encoding.startsWith("utf-16") && zeros > head.length * 0.05;
  if (head.length === 0 || (kind === undefined && !binary)) return;
  const reason =
    kind === "parquet"
      ? "it does not begin with PAR1"
      : kind === "zip"
        ? "it does not begin as a zip archive"
        : "it is full of zero bytes";
  const what = kind === undefined ? "no text" : kind === "zip" ? "no zip archive" : "no whole Parquet file";
  throw new UnusableSource(`${source.file} is ${what}: ${reason}`, {
    next: "Download or write the file again.",
  });
}

function parserFor(guess: FormatGuess, options: RowParserOptions): RowParser {
  switch (guess.format) {
    case "jsonl":
      return jsonLinesParser(options);
    case "json":
      return jsonDocumentParser(guess.shape ?? "array", options);
    case "csv":
    case "tsv":
      return csvParser(guess.delimiter ?? ",", options);
    default:
      return guess.format satisfies never;
  }
}

async function* readParquet(parquet: ParquetSource, source: SourceReport, run: Run): Batches {
  source.fileFormat = "parquet";
  source.fileFormatEvidence = "the file begins with PAR1";
  try {
    const maker = recordMaker(source, labelOf(source.file, run), run.options);
    let bytes = 0;
    const rows = parquetRows(parquet, source.file, (more) => {
      bytes += more;
      progress(run, source, bytes);
    });
    for await (const batch of rows) yield maker.accept(batch);
    yield maker.finish();
  } finally {
    await parquet.close();
  }
}

/** Every member of an archive that looks like rows is a source of its own, called `archive.zip!member`. */
async function* readZip(
  archive: string | Buffer,
  name: string,
  named: boolean,
  disk: Partial<SourceReport>,
  run: Run,
): Batches {
  const packedBytes = typeof archive === "string" ? disk.bytes : archive.length;
  const budget = unpackBudget(name, packedBytes, run.limits);
  const zip = await openZip(archive, name, budget, run.limits);
  try {
    run.report.ignored.push(...zip.ignored.map((member) => `${name}!${member}`));
    if (zip.members.length === 0) {
      throw new UserError(`the archive ${name} holds no file of rows`, {
        next: "Rows come in .jsonl, .json, .csv, .tsv, .parquet (also .gz).",
      });
    }
    let packed = 0;
    for (const member of zip.members) {
      const source = newSource(`${name}!${member.name}`, run, disk);
      const bytes = await member.open();
      const alone = named && zip.members.length === 1;
      yield* guarded(source, alone, run, readBytes(bytes, source, run, budget, 0));
      packed += member.packedBytes;
      progress(run, source, packed);
    }
  } finally {
    zip.close();
  }
}

function newSource(file: string, run: Run, disk: Partial<SourceReport> = {}): SourceReport {
  const source: SourceReport = {
    file,
    status: "reading",
    ...disk,
    rowsRead: 0,
    rowsKept: 0,
    rowsRejected: 0,
    records: 0,
    replies: 0,
    rejectedBy: {},
    notes: [],
  };
  run.report.sources.push(source);
  return source;
}

/** A short name for ids of dialogues: it does not depend on where the folder lies on this machine. */
function labelOf(file: string, run: Run): string {
  const base = basename(file.split("!").at(-1)!).replace(/\.gz$/i, "");
  let label = base;
  for (let n = 2; run.labels.has(label); n++) label = `${base}~${n}`;
  run.labels.add(label);
  return label;
}

function progress(run: Run, source: SourceReport, bytes: number): void {
  run.options.onProgress?.({
    file: source.file,
    bytesRead: run.doneBytes + bytes,
    bytesTotal: run.totalBytes,
    rowsRead: run.rowsBefore + source.rowsRead,
  });
}

async function headOf(path: string): Promise<Buffer> {
  try {
    const pieces: Buffer[] = [];
    for await (const piece of createReadStream(path, { end: 3 })) pieces.push(piece as Buffer);
    return Buffer.concat(pieces);
  } catch (error) {
    throw explainReadError(error, path, "the input");
  }
}

async function* fileBytes(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES })) yield piece as Buffer;
  } catch (error) {
    throw explainReadError(error, path, "the input");
  }
}

async function* stdinBytes(options: ReadOptions): AsyncGenerator<Buffer> {
  for await (const piece of options.stdin ?? process.stdin) {
    yield typeof piece === "string" ? Buffer.from(piece) : (piece as Buffer);
  }
}
