/** `attune report`: everything that is known of a run on one page, and its model card. */
import { join } from "node:path";
import { Command, Option } from "commander";
import {
  type Language,
  type ReportFacts,
  gatherReport,
  modelCardText,
  renderReport,
  verdictOf,
} from "../../judge/report/index.ts";
import { isRunFolder, resolveConfig, runConfigPath, trainConfigSchema } from "../../project/index.ts";
import { UserError, formatBytes, packageVersion, writeFileAtomic } from "../../util/index.ts";
import { type Output, bold, dim, terminalOutput } from "../terminal.ts";

export interface ReportFlags {
  readonly evaluation?: string;
  readonly diagnosis?: string;
  readonly ratings?: string;
  readonly out?: string;
  readonly language?: Language;
  readonly json?: boolean;
}

export const reportFiles = { page: "report.html", card: "model-card.md" } as const;

export function reportCommand(): Command {
  return new Command("report")
    .description("write report.html and model-card.md of a run: one page for people, without any request")
    .argument("<run>", "the folder of a run")
    .option("--evaluation <folder>", "default: evaluation in the run's folder")
    .option("--diagnosis <folder>", "default: diagnosis in the run's folder")
    .option("--ratings <file>", "default: ratings.jsonl beside the evaluation's predictions")
    .option("--out <folder>", "where the two files go; default: the run's folder")
    .addOption(
      new Option("--language <code>", "the one that the page shows first; default: this system's").choices([
        "en",
        "zh",
      ]),
    )
    .option("--json", "print one JSON object")
    .action(async (run: string, flags: ReportFlags) => {
      const output = terminalOutput({ json: flags.json ?? false });
      const { facts, page, card, bytes } = await writeReport(run, flags, output);
      output.clear();
      output.json({ type: "result", report: page, modelCard: card, ...headline(facts) });
      for (const line of reportLines(facts, page, card, bytes)) output.line(line);
    });
}

/** Reads what is there and writes both files; the quick start ends with it. */
export async function writeReport(
  run: string,
  flags: ReportFlags,
  output: Output,
): Promise<{
  readonly facts: ReportFacts;
  readonly page: string;
  readonly card: string;
  readonly bytes: number;
}> {
  if (!(await isRunFolder(run))) {
    throw new UserError(`${run} is not the folder of a run`, { next: "Name one that attune train made." });
  }
  const { config } = await resolveConfig(trainConfigSchema, { file: runConfigPath(run) });
  const { evaluation, diagnosis, ratings } = flags;
  const facts = await gatherReport({
    run,
    settings: config,
    manifestFile: join(run, "run.json"),
    eventsFile: join(run, "events.jsonl"),
    ...(evaluation === undefined ? {} : { evaluation }),
    ...(diagnosis === undefined ? {} : { diagnosis }),
    ...(ratings === undefined ? {} : { ratings }),
    madeBy: `Attune ${packageVersion()}`,
    date: new Date().toISOString().slice(0, 10),
    notice: output.notice,
    onProgress: (what) => output.live(`report: ${what}`),
  });
  const page = renderReport(facts, flags.language ?? systemLanguage());
  const folder = flags.out ?? run;
  const paths = { page: join(folder, reportFiles.page), card: join(folder, reportFiles.card) };
  await writeFileAtomic(paths.page, page);
  await writeFileAtomic(paths.card, modelCardText(facts));
  return { facts, ...paths, bytes: Buffer.byteLength(page) };
}

function systemLanguage(): Language {
  const { LC_ALL, LC_MESSAGES, LANG = "" } = process.env;
  return /^zh/i.test(LC_ALL ?? LC_MESSAGES ?? LANG) ? "zh" : "en";
}

const rounded = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) ? null : Number(value.toPrecision(6));

/** What scripts read. */
export function headline(facts: ReportFacts): Record<string, unknown> {
  const { outcome, tuned, base, bleu } = verdictOf(facts);
  const { curves, evaluation, findings, ratings } = facts;
  const finished = curves.found?.finished;
  return {
    outcome,
    judged: evaluation.found?.data.judged ?? null,
    bleu4: rounded(tuned?.metrics.bleu4.score),
    bleu4Base: rounded(base?.metrics.bleu4.score),
    bleu4Difference: rounded(bleu?.difference.score),
    bleu4DifferenceInterval:
      bleu === undefined ? null : [rounded(bleu.difference.low), rounded(bleu.difference.high)],
    rougeL: rounded(tuned?.metrics.rougeL.score),
    perplexity: rounded(tuned?.perplexity?.score),
    ttftMsP50: rounded(tuned?.speed?.ttftMsP50),
    decodeTokensPerSecond: rounded(tuned?.speed?.decodeTokensPerSecond),
    validationLossBefore: rounded(finished?.before),
    validationLossBest: rounded(finished?.best),
    findings:
      findings.found?.findings.map(({ id, severity, confidence }) => ({ id, severity, confidence })) ?? null,
    ratings: ratings.found?.ratings ?? null,
    missing: (["curves", "data", "evaluation", "dialogues", "findings", "ratings"] as const).filter(
      (name) => facts[name].found === undefined,
    ),
  };
}

const outcomes = {
  better: "better than its base",
  worse: "worse than its base",
  unclear: "no difference from its base is proven",
  unknown: "not compared with its base yet",
} as const;

function reportLines(facts: ReportFacts, page: string, card: string, bytes: number): string[] {
  const { outcome, bleu } = verdictOf(facts);
  const difference =
    bleu === undefined
      ? ""
      : `: BLEU-4 ${bleu.difference.score < 0 ? "−" : "+"}${Math.abs(bleu.difference.score).toFixed(2)} (95 %: ${bleu.difference.low.toFixed(2)} to ${bleu.difference.high.toFixed(2)})`;
  const absent = [
    [facts.evaluation, "the evaluation", `attune evaluate ${facts.paths.run}`],
    [facts.findings, "the diagnosis", `attune diagnose ${facts.paths.run}`],
    [facts.ratings, "people's ratings", `attune rate ${facts.paths.evaluation}/predictions.jsonl`],
  ] as const;
  return [
    `${bold(page)}  ${outcomes[outcome]}${difference} ${dim(`(${formatBytes(bytes)})`)}`,
    `${bold(card)}  for a model hub`,
    ...absent
      .filter(([part]) => part.found === undefined)
      .map(([, what, command]) => dim(`without ${what}: ${command}`)),
  ];
}
