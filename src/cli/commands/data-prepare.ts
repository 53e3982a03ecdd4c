/** `attune data prepare`: reads, cleans, balances, splits and writes, with progress and one result. */
import { join } from "node:path";
import { Command } from "commander";
import {
  LAYOUT_NAMES,
  type Manifest,
  type PrepareProgress,
  REPORT_FILE,
  dataConfigSchema,
  prepareDataset,
} from "../../data/index.ts";
import { resolveConfig } from "../../project/index.ts";
import { UserError, formatCount, formatDuration, formatPercent } from "../../util/index.ts";
import { interruptSignal } from "../interrupt.ts";
import { type Output, bold, dim, green, terminalOutput } from "../terminal.ts";
import { tokenCounter } from "./data-tokens.ts";

interface PrepareFlags {
  readonly out?: string;
  readonly config?: string;
  readonly format?: string;
  readonly examples?: string;
  readonly seed?: string;
  readonly set: readonly string[];
  readonly strict?: boolean;
  readonly force?: boolean;
  readonly tokenizer?: string;
  readonly maxTokens?: string;
  readonly json?: boolean;
}

export function prepareCommand(): Command {
  return new Command("prepare")
    .description("make a data set out of raw conversations: read, clean, balance, split, prove, report")
    .argument("[raw...]", "files, folders, globs, or - for standard input")
    .option("--out <folder>", "where the data set goes; it must not exist yet")
    .option("--config <file>", "a YAML file with sources, clean, shape, seed")
    .option("--format <layout>", `the layout of the rows instead of detecting it: ${LAYOUT_NAMES.join(", ")}`)
    .option("--examples <unit>", "one example a `conversation` (every reply is learned) or a `reply`")
    .option("--seed <number>", "decides everything that is left to chance (42)")
    .option(
      "--set <key=value>",
      "override one setting, such as clean.replyLength.min=5",
      collect,
      [] as string[],
    )
    .option("--strict", "stop at the first broken row")
    .option("--force", "replace the data set that already stands at --out")
    .option("--tokenizer <folder>", "a model's folder: the report then shows token lengths")
    .option("--max-tokens <number>", "the longest sequence wanted, for the report (the model's own limit)")
    .option("--json", "print progress as JSON lines; the last is the result")
    .action(async (raw: string[], flags: PrepareFlags, command: Command) => {
      if (raw.length === 0 && flags.config === undefined) {
        command.error("error: name at least one file, or a config with `sources`", { exitCode: 2 });
      }
      await prepare(raw, flags, terminalOutput({ json: flags.json ?? false }));
    });
}

function collect(value: string, all: readonly string[]): string[] {
  return [...all, value];
}

async function prepare(raw: readonly string[], flags: PrepareFlags, output: Output): Promise<void> {
  const { config } = await resolveConfig(dataConfigSchema, {
    ...(flags.config === undefined ? {} : { file: flags.config }),
    flags: {
      sources: raw.length === 0 ? undefined : raw,
      out: flags.out,
      format: flags.format,
      examples: flags.examples,
      seed: flags.seed === undefined ? undefined : wholeNumber(flags.seed, "--seed"),
    },
    set: flags.set,
  });
  const limit = flags.maxTokens === undefined ? undefined : wholeNumber(flags.maxTokens, "--max-tokens");
  const tokens = flags.tokenizer === undefined ? undefined : await tokenCounter(flags.tokenizer, limit);
  const interrupt = interruptSignal(() =>
    output.notice("Stopping; nothing is left behind. Once more to stop at once."),
  );
  try {
    const { folder, manifest } = await prepareDataset(config, {
      onProgress: (progress) => showProgress(progress, output),
      signal: interrupt.signal,
      overwrite: flags.force ?? false,
      strict: flags.strict ?? false,
      ...(tokens === undefined ? {} : { tokens }),
    });
    showResult(folder, manifest, output);
  } finally {
    interrupt.dispose();
  }
}

function wholeNumber(text: string, flag: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0 && text.trim() !== "") return value;
  throw new UserError(`${flag} must be a whole number of 0 or more, not ${JSON.stringify(text)}`);
}

const PHASES: { readonly [P in PrepareProgress["phase"]]: string } = {
  look: "looking through the data",
  read: "reading and cleaning",
  split: "splitting",
  write: "writing",
  check: "checking for leaks",
};

function showProgress(progress: PrepareProgress, output: Output): void {
  const { phase, done, fraction, rate, secondsLeft } = progress;
  output.json({ type: "progress", ...progress });
  const parts = [PHASES[phase]];
  if (phase !== "look") parts.push(`${formatCount(done)} rows`, `${formatCount(rate)} rows/s`);
  if (fraction !== undefined) parts.push(formatPercent(fraction, 0));
  if (secondsLeft !== undefined && fraction !== 1) parts.push(`${formatDuration(secondsLeft)} left`);
  output.live(parts.join(" · "));
}

function showResult(folder: string, manifest: Manifest, output: Output): void {
  output.json(resultJson(folder, manifest));
  if (output.isJson) return;
  for (const line of summaryLines(manifest)) output.line(line);
  output.line("");
  output.line(`${green("✓")} ${bold(folder)}  ${dim(`report: ${join(folder, REPORT_FILE)}`)}`);
}

/** What `--json` ends with, here and in `data show`. */
export function resultJson(folder: string, manifest: Manifest): Record<string, unknown> {
  const { rows, rejected, splits, leaks } = manifest;
  return {
    type: "result",
    folder,
    read: rows.read,
    kept: rows.kept,
    rejected,
    rejectedTotal: rows.rejected,
    splits: Object.fromEntries(
      Object.entries(splits).map(([name, { examples, conversations, replies }]) => [
        name,
        { examples, conversations, replies },
      ]),
    ),
    maxIntentShare: manifest.maxIntentShare,
    leaks: leaks.dialogueId + leaks.conversation + leaks.nearDuplicate,
    leakDetails: leaks,
    warnings: manifest.warnings.map(({ text }) => text),
  };
}

/** A data set in a dozen lines. */
export function summaryLines(manifest: Manifest): string[] {
  const { rows, rejected, splits, leaks, sources } = manifest;
  const lines: string[] = [];
  for (const source of sources.filter(({ skipped }) => skipped === undefined).slice(0, 10)) {
    lines.push(`${source.name}  ${dim(`${source.layout ?? "no layout"}: ${source.evidence ?? ""}`)}`);
  }
  lines.push(
    "",
    `${formatCount(rows.read)} rows read = ${formatCount(rows.kept)} kept + ${formatCount(rows.rejected)} rejected`,
  );
  for (const [rule, count] of Object.entries(rejected))
    lines.push(`  ${formatCount(count).padStart(9)}  ${rule}`);
  lines.push(
    "",
    `${"".padEnd(12)}${"examples".padStart(10)}${"conversations".padStart(15)}${"replies".padStart(10)}`,
  );
  for (const [name, part] of Object.entries(splits)) {
    const cells = [part.examples, part.conversations, part.replies].map(formatCount);
    lines.push(
      `${name.padEnd(12)}${cells[0]!.padStart(10)}${cells[1]!.padStart(15)}${cells[2]!.padStart(10)}`,
    );
  }
  const total = leaks.dialogueId + leaks.conversation + leaks.nearDuplicate;
  lines.push(
    "",
    `largest intent ${formatPercent(manifest.maxIntentShare, 1)} of train · ${formatCount(total)} leaks between the splits`,
  );
  for (const { text, advice } of manifest.warnings) lines.push(`! ${text} ${dim(advice)}`);
  return lines;
}
