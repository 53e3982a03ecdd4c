/** `attune rate`: a page on which people judge replies, and what their ratings say. */
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import {
  type RatingResults,
  aspects,
  exportRatings,
  importRatings,
  linkToken,
  openStudy,
  questions,
  ratingResults,
  readPredictions,
  readRatings,
  startRateServer,
} from "../../judge/rate/index.ts";
import { excerpt, formatCount, writeFileAtomic } from "../../util/index.ts";

interface ServeOptions {
  readonly ratings?: string;
  readonly host: string;
  readonly port: number;
  readonly prompts: number;
  readonly raters: number;
  readonly overlap: number;
  readonly overlapRaters: number;
  readonly seed: number;
}

export function rateCommand(): Command {
  const rate = new Command("rate")
    .description("let people rate replies on a local web page, blind to which system wrote them")
    .argument(
      "<predictions>",
      "JSON lines with id, dialogue_id, context, system and prediction, as `attune evaluate` writes",
    )
    .option("--ratings <file>", "where ratings are kept; default ratings.jsonl beside the predictions")
    .option("--host <address>", "0.0.0.0 lets raters on other machines in, by the link alone", "127.0.0.1")
    .option("--port <n>", "0 takes a free one", wholeNumber(0, 65_535), 0)
    .option("--prompts <n>", "at most so many prompts, spread over intents", wholeNumber(1, 5000), 100)
    .option("--raters <n>", "raters of each reply", wholeNumber(1, 50), 1)
    .option(
      "--overlap <share>",
      "share of prompts that several people rate, to measure agreement",
      share,
      0.2,
    )
    .option("--overlap-raters <n>", "raters of each reply in that share", wholeNumber(3, 50), 3)
    .option("--seed <n>", "of the choice and the order", wholeNumber(0, 2 ** 31), 0)
    .action(serveRatings);
  rate
    .command("results")
    .description("means by system, agreement, correlation with BLEU and ROUGE, preferences")
    .argument("<ratings>", "the ratings file, or an export of it")
    .option("--json", "print one JSON object")
    .option("--preferences <file>", "write pairs of a better and a worse reply for preference tuning")
    .action(async (path: string, options: { readonly json?: boolean; readonly preferences?: string }) => {
      const results = ratingResults(await readRatings(path));
      if (options.preferences !== undefined) {
        await writeFileAtomic(
          options.preferences,
          results.preferences.map((pair) => `${JSON.stringify(pair)}\n`).join(""),
        );
      }
      process.stdout.write(
        options.json === true ? `${JSON.stringify(results, null, 2)}\n` : resultsText(results),
      );
    });
  rate
    .command("export")
    .description("write the ratings as JSON lines, each with what was rated")
    .argument("<ratings>", "the ratings file")
    .requiredOption("--out <file>", "where to")
    .action(async (path: string, options: { readonly out: string }) => {
      const ratings = await readRatings(path);
      await exportRatings(options.out, ratings);
      process.stdout.write(`${formatCount(ratings.length)} ratings written to ${options.out}\n`);
    });
  rate
    .command("import")
    .description("add ratings made on another machine; nothing is counted twice or changed")
    .argument("<ratings>", "the ratings file to add to")
    .requiredOption("--from <file>", "a ratings file or an export of one")
    .action(async (path: string, options: { readonly from: string }) => {
      const { added, known, conflicts, foreign } = await importRatings(path, options.from);
      process.stdout.write(`${added} ratings added, ${known} were here already\n`);
      if (foreign > 0) process.stdout.write(`${foreign} left out: this study has no such reply\n`);
      for (const { rater, system, id } of conflicts) {
        process.stdout.write(`left out: ${rater} has rated "${system}" on "${id}" otherwise here\n`);
      }
    });
  return rate;
}

async function serveRatings(path: string, options: ServeOptions): Promise<void> {
  const predictions = await readPredictions(path);
  const file = options.ratings ?? join(dirname(path), "ratings.jsonl");
  const study = await openStudy(file, predictions, options);
  try {
    const say = (line: string): void => {
      process.stdout.write(`${line}\n`);
    };
    const server = await startRateServer({
      study,
      token: await linkToken(`${file}.link`),
      host: options.host,
      port: options.port,
      onRating: (rater, done) => say(`  ${rater}: ${done} rated`),
    });
    try {
      const wanted = study.items.reduce((sum, item) => sum + item.target, 0);
      const overlap = study.items.filter((item) => item.overlap).length;
      say(
        `${study.items.length} replies to rate (${overlap} by ${options.overlapRaters} people): ${wanted} ratings`,
      );
      if (study.items.length < predictions.length) {
        say(
          `${predictions.length - study.items.length} of ${predictions.length} replies are left out; --prompts takes more`,
        );
      }
      if (study.tornBytes > 0)
        say(
          `${study.tornBytes} bytes of a rating cut short by a crash were removed; it was never acknowledged`,
        );
      const already = study.ratings().length;
      if (already > 0) say(`${already} ratings are here already and stand`);
      say(`Ratings go to ${file}`);
      say(`Open, and send to other raters:\n\n${linksOf(server.url, options.host).join("\n")}\n`);
      if (options.host === "127.0.0.1") say("Only this machine can open it; --host 0.0.0.0 lets others in.");
      say("Ctrl+C ends it; started again, it goes on.");
      await interrupted();
    } finally {
      await server.close();
    }
  } finally {
    await study.close();
  }
}

/** One link, or for all addresses of this machine one of each. */
function linksOf(url: string, host: string): string[] {
  if (host !== "0.0.0.0" && host !== "::") return [`  ${url}`];
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => `  ${url.replace("//localhost:", `//${address}:`)}`);
  return [`  ${url}`, ...addresses];
}

async function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}

function resultsText(results: RatingResults): string {
  const out: string[] = [
    `${results.ratings} ratings of ${results.replies} replies to ${results.prompts} prompts by ${results.raters.length} raters`,
    "",
  ];
  const width = Math.max(
    8,
    ...results.systems.map(({ system }) => system.length),
    ...results.raters.map(({ rater }) => rater.length),
  );
  out.push(
    `${"system".padEnd(width)}  ratings  ${aspects.map((aspect) => aspect.padEnd(18)).join("  ")}`.trimEnd(),
  );
  for (const { system, ratings, means } of results.systems) {
    const cells = aspects.map((aspect) => {
      const { score, low, high } = means[aspect];
      return `${score.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`.padEnd(18);
    });
    out.push(`${system.padEnd(width)}  ${String(ratings).padStart(7)}  ${cells.join("  ")}`.trimEnd());
  }
  for (const { baseline, system, prompts, overall } of results.comparisons) {
    const { score, low, high } = overall.difference;
    out.push(
      "",
      `${system} − ${baseline}: overall ${signed(score)} (${signed(low)} to ${signed(high)}), p = ${overall.pValue.toFixed(4)}, on ${prompts} prompts`,
    );
  }
  out.push("", "agreement (Krippendorff's alpha; equal pairs)");
  for (const question of questions) {
    const { alpha, raw, replies } = results.agreement[question];
    out.push(
      `  ${question.padEnd(10)} ${alpha === undefined ? "not defined" : alpha.toFixed(3)}; ${raw === undefined ? "–" : `${(100 * raw).toFixed(0)} %`} over ${replies} replies`,
    );
  }
  out.push("", "correlation with people's overall score (Spearman)");
  for (const { metric, spearman, replies } of results.correlations.filter(
    ({ aspect }) => aspect === "overall",
  )) {
    out.push(
      `  ${metric.padEnd(10)} ${spearman === undefined ? "not defined" : spearman.toFixed(3)} over ${replies} replies`,
    );
  }
  out.push("", "raters");
  for (const { rater, ratings, meanOverall, bias } of results.raters) {
    const strict = bias === undefined ? "" : `, ${signed(bias)} against the others`;
    out.push(`  ${rater.padEnd(width)} ${ratings} ratings, mean overall ${meanOverall.toFixed(2)}${strict}`);
  }
  if (results.disagreements.length > 0) out.push("", "where raters disagree most");
  for (const { system, question, prediction, ratings } of results.disagreements.slice(0, 5)) {
    const scores = ratings.map(({ rater, score }) => `${rater} ${score}`).join(", ");
    out.push(`  ${question} of "${excerpt(prediction, 60)}" (${system}): ${scores}`);
  }
  out.push("", `${results.preferences.length} pairs for preference tuning`);
  for (const { what, have, need } of results.tooFew)
    out.push(`too few: ${what}: ${have}, at least ${need} are needed`);
  return `${out.join("\n")}\n`;
}

const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("It must be a number from 0 to 1.");
}
