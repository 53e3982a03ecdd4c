/** `attune metrics`: scores files of replies against files of references, without a model. */
import { Command, InvalidArgumentError, Option } from "commander";
import {
  type BleuOptions,
  type Comparison,
  type MetricReport,
  type OtherBleuScore,
  type WordSegmenter,
  asPythonJieba,
  bleuTokenizers,
  compareSystems,
  icuWords,
  metricReport,
  otherBleu,
  otherBleuNames,
} from "../../judge/metrics/index.ts";
import { UserError, excerpt, parseJson, readTextLines } from "../../util/index.ts";

/** One line: the texts it holds (several where a JSON line lists references) and the `id` beside them. */
interface Line {
  readonly texts: readonly string[];
  readonly id?: string;
}

interface MetricsOptions {
  readonly references: readonly string[];
  readonly predictions: readonly string[];
  readonly language: "auto" | "en" | "zh";
  readonly tokenizer?: keyof typeof bleuTokenizers;
  readonly smoothing?: NonNullable<BleuOptions["smoothing"]>;
  readonly lowercase?: boolean;
  readonly stemming?: boolean;
  readonly variants?: boolean;
  readonly samples: number;
  readonly seed: number;
  readonly json?: boolean;
}

// A longer line is not a reply, and the longest common subsequence takes time quadratic in it.
const longestLine = 20_000;
const mostLines = 1_000_000;

const fields = {
  references: ["references", "reference", "response", "label"],
  predictions: ["prediction", "predict", "response"],
} as const;

export function metricsCommand(): Command {
  return new Command("metrics")
    .description("score replies against references: BLEU, ROUGE, chrF, repetition; no model needed")
    .requiredOption(
      "--references <files...>",
      "lines, or JSON lines with `response`, `reference` or `references`",
    )
    .requiredOption(
      "--predictions <files...>",
      "the same for replies (`prediction`); of several files, the first is the baseline",
    )
    .addOption(
      new Option("--language <language>", "tokenisation of BLEU")
        .choices(["auto", "en", "zh"])
        .default("auto"),
    )
    .addOption(
      new Option("--tokenizer <name>", "overrides the language's").choices(Object.keys(bleuTokenizers)),
    )
    .addOption(
      new Option("--smoothing <name>", "of BLEU; default exp").choices(["exp", "floor", "add-k", "none"]),
    )
    .option("--lowercase", "ignore letter case in BLEU")
    .option("--stemming", "compare English words by their stem in ROUGE")
    .option("--variants", "add what other trainers call BLEU-4")
    .option("--samples <n>", "bootstrap resamples for the 95 % intervals", wholeNumber(10, 100_000), 1000)
    .option("--seed <n>", "of the resampling", wholeNumber(0, 2 ** 31), 0)
    .option("--json", "print one JSON object")
    .action(async (options: MetricsOptions) => {
      const result = await score(options);
      process.stdout.write(options.json === true ? `${JSON.stringify(result, null, 2)}\n` : table(result));
    });
}

export interface MetricsResult {
  readonly references: readonly string[];
  readonly systems: readonly {
    readonly file: string;
    readonly metrics: MetricReport;
    readonly variants?: readonly (OtherBleuScore | { readonly name: string; readonly missing: string })[];
    /** Against the first file. */
    readonly comparison?: Comparison;
  }[];
}

async function score(options: MetricsOptions): Promise<MetricsResult> {
  const referenceFiles: (readonly Line[])[] = [];
  for (const file of options.references)
    referenceFiles.push(await readLines(file, fields.references, "the references"));
  const [first] = referenceFiles;
  for (const [i, lines] of referenceFiles.entries()) {
    requireSameLines(options.references[0]!, first!, options.references[i]!, lines);
  }
  if (first!.length === 0) {
    throw new UserError(`${options.references[0]} holds no lines`, {
      next: "Name a file with one reference a line.",
    });
  }
  const references = first!.map((_, i) => referenceFiles.flatMap((lines) => lines[i]!.texts));
  const bleu: BleuOptions = {
    ...(options.tokenizer === undefined ? {} : { tokenizer: options.tokenizer }),
    ...(options.smoothing === undefined ? {} : { smoothing: options.smoothing }),
    lowercase: options.lowercase === true,
  };
  const { language, samples, seed } = options;
  const settings = { bleu, language, samples, seed, stemming: options.stemming === true };
  const systems: MetricsResult["systems"][number][] = [];
  let baseline: readonly string[] | undefined;
  for (const file of options.predictions) {
    const lines = await readLines(file, fields.predictions, "the predictions");
    requireSameLines(options.references[0]!, first!, file, lines);
    const several = lines.findIndex((line) => line.texts.length > 1);
    if (several >= 0) {
      throw new UserError(
        `record ${several + 1} of ${file} holds ${lines[several]!.texts.length} predictions`,
        {
          next: "Give each record one.",
        },
      );
    }
    const predictions = lines.map((line) => line.texts[0]!);
    systems.push({
      file,
      metrics: metricReport(predictions, references, settings),
      ...(options.variants === true ? { variants: await variantsOf(predictions, references) } : {}),
      ...(baseline === undefined
        ? {}
        : { comparison: compareSystems(baseline, predictions, references, settings) }),
    });
    baseline ??= predictions;
  }
  return { references: options.references, systems };
}

async function variantsOf(
  predictions: readonly string[],
  references: readonly (readonly string[])[],
): Promise<NonNullable<MetricsResult["systems"][number]["variants"]>> {
  const jieba = await loadJieba();
  return otherBleuNames.map((name) => {
    if (name === "swift-jieba" && jieba === undefined) {
      return { name, missing: "needs jieba: npm install @node-rs/jieba" };
    }
    return otherBleu(name, predictions, references, name === "swift-jieba" ? jieba : icuWords());
  });
}

/** jieba where the user has installed it: its dictionary (5 MB) is too much to ship for one old figure. */
async function loadJieba(): Promise<WordSegmenter | undefined> {
  try {
    const [name, dictionary]: readonly string[] = ["@node-rs/jieba", "@node-rs/jieba/dict.js"];
    const { Jieba } = (await import(name!)) as {
      Jieba: { withDict(dict: Uint8Array): { cut(text: string, hmm: boolean): string[] } };
    };
    const { dict } = (await import(dictionary!)) as { dict: Uint8Array };
    const jieba = Jieba.withDict(dict);
    return asPythonJieba((text) => jieba.cut(text, true));
  } catch {
    return undefined;
  }
}

function requireSameLines(
  firstFile: string,
  first: readonly Line[],
  file: string,
  lines: readonly Line[],
): void {
  if (first.length !== lines.length) {
    throw new UserError(
      `${firstFile} has ${first.length} lines but ${file} has ${lines.length}: line n of one must answer line n of the other`,
      { next: "An empty reply is an empty line (or an empty string); do not leave it out." },
    );
  }
  const apart = lines.findIndex(
    (line, i) => line.id !== undefined && first[i]!.id !== undefined && line.id !== first[i]!.id,
  );
  if (apart >= 0) {
    throw new UserError(
      `record ${apart + 1} has the id ${JSON.stringify(first[apart]!.id)} in ${firstFile} but ${JSON.stringify(lines[apart]!.id)} in ${file}`,
      { next: "Bring both files into the same order." },
    );
  }
}

/** Lines as texts; JSON lines where the name ends so (`.jsonl`, `.ndjson`, with or without `.gz`) or line 1 is an object. */
async function readLines(path: string, names: readonly string[], what: string): Promise<readonly Line[]> {
  const lines: Line[] = [];
  let json = /\.(?:jsonl|ndjson)(?:\.gz)?$/.test(path);
  for await (const { text, line: number } of readTextLines(path, what)) {
    const at = `${path}:${number}`;
    if (number > mostLines) {
      throw new UserError(`${path} has more than ${mostLines} lines`, { next: "Score a sample of it." });
    }
    if (number === 1 && !json) json = looksLikeObject(text);
    if (json && text.trim() === "") continue;
    const line = json ? lineFrom(parseJson(text, at), names, at) : { texts: [text] };
    const long = line.texts.find((part) => part.length > longestLine);
    if (long !== undefined) {
      throw new UserError(`a text of ${long.length} characters; at most ${longestLine} are scored`, {
        at,
        next: `Cut it or remove the line; it begins ${JSON.stringify(excerpt(long, 40))}.`,
      });
    }
    lines.push(line);
  }
  return lines;
}

function looksLikeObject(text: string): boolean {
  if (!text.startsWith("{")) return false;
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    return false;
  }
}

function lineFrom(value: unknown, names: readonly string[], at: string): Line {
  if (typeof value === "string") return { texts: [value] };
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const record = value as Readonly<Record<string, unknown>>;
    const id =
      typeof record["id"] === "string" || typeof record["id"] === "number"
        ? { id: String(record["id"]) }
        : {};
    for (const name of names) {
      const field = record[name];
      if (field === undefined) continue;
      const texts: readonly unknown[] = Array.isArray(field) ? field : [field];
      if (texts.length > 0 && texts.every((text) => typeof text === "string")) return { texts, ...id };
      throw new UserError(`\`${name}\` is ${excerpt(JSON.stringify(field), 40)}; it must be a text`, {
        at,
        next: 'Write an empty reply as "".',
      });
    }
  }
  throw new UserError(`no text in ${excerpt(JSON.stringify(value), 60)}`, {
    at,
    next: `Give each line one of the fields ${names.map((name) => `\`${name}\``).join(", ")}.`,
  });
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

function table(result: MetricsResult): string {
  const out: string[] = [];
  for (const { file, metrics, variants, comparison } of result.systems) {
    const row = (name: string, value: string, note = ""): string =>
      `  ${name.padEnd(19)}${value.padStart(8)}  ${note}`.trimEnd();
    const interval = (x: { readonly low: number; readonly high: number }, scale = 1): string =>
      `95 %: ${(x.low * scale).toFixed(2)} – ${(x.high * scale).toFixed(2)}`;
    const { bleu4, chrf } = metrics;
    out.push(
      file,
      row("replies", String(metrics.count), metrics.empty === 0 ? "" : `${metrics.empty} empty, scored 0`),
      row("BLEU-4", bleu4.score.toFixed(2), interval(bleu4)),
      ...(["rouge1", "rouge2", "rougeL", "rougeLsum"] as const).map((type) =>
        row(
          type.replace("rouge", "ROUGE-"),
          (100 * metrics[type].score).toFixed(2),
          interval(metrics[type], 100),
        ),
      ),
      row("chrF2", chrf.score.toFixed(2), interval(chrf)),
      row("equal to reference", `${(100 * metrics.exact).toFixed(2)} %`),
      row("distinct-1, -2", metrics.distinct1.toFixed(3), metrics.distinct2.toFixed(3)),
      row("rep-4", metrics.repetition4.toFixed(3), `references: ${metrics.referenceRepetition4.toFixed(3)}`),
      row("stuck in a phrase", `${(100 * metrics.stuck).toFixed(2)} %`),
      row("length ratio", metrics.lengthRatio.toFixed(3)),
    );
    for (const variant of variants ?? []) {
      out.push(
        "missing" in variant
          ? row(variant.name, "–", variant.missing)
          : row(
              variant.name,
              variant.score.toFixed(2),
              variant.counted === metrics.count ? "" : `over ${variant.counted} replies`,
            ),
      );
    }
    if (comparison !== undefined) {
      out.push(`  against ${result.systems[0]!.file} (paired bootstrap)`);
      for (const [name, test, scale] of [
        ["BLEU-4", comparison.bleu4, 1],
        ["ROUGE-L", comparison.rougeL, 100],
        ["chrF2", comparison.chrf, 1],
      ] as const) {
        const gain = test.difference.score * scale;
        out.push(
          row(
            `  ${name}`,
            `${gain < 0 ? "−" : "+"}${Math.abs(gain).toFixed(2)}`,
            `${interval(test.difference, scale)}, p = ${test.pValue.toFixed(4)}`,
          ),
        );
      }
    }
    out.push(
      `  BLEU ${metrics.signatures.bleu}`,
      `  ROUGE ${metrics.signatures.rouge}`,
      `  chrF ${metrics.signatures.chrf}`,
      "",
    );
  }
  return `${out.join("\n")}`;
}
