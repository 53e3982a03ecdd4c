/** The exact commands behind the figures of a report. */
import { dataConfigSchema } from "../../data/index.ts";
import { shellWord } from "../../util/index.ts";
import type { ReportFacts } from "./types.ts";

const line = (...words: readonly (string | undefined)[]): string =>
  words
    .filter((word) => word !== undefined)
    .map(shellWord)
    .join(" ");

/** How the data set was made: every setting that is not the default. */
export function dataCommand({ data, settings }: ReportFacts): string {
  if (data.found === undefined)
    return line("attune", "data", "prepare", settings.data.train, "--out", "data/prepared");
  const { config, seed } = data.found.manifest;
  const { sources } = config;
  const raw = Array.isArray(sources) ? sources.filter((source) => typeof source === "string") : [];
  const standard = dataConfigSchema.safeParse({ sources: ["x"], out: "x" });
  const changed = standard.success ? differences(config, standard.data, "") : [];
  return line(
    "attune",
    "data",
    "prepare",
    ...raw.map(nearPath),
    "--out",
    data.found.path,
    "--seed",
    String(seed),
    ...changed.flatMap((setting) => ["--set", setting]),
  );
}

const nearPath = (path: string): string => {
  const here = `${process.cwd()}/`;
  return path.startsWith(here) ? path.slice(here.length) : path;
};

const kept = new Set(["sources", "out", "seed", "strict"]);

/** Leaves of `given` that differ from `standard`, as `key=value`. */
function differences(given: unknown, standard: unknown, key: string): string[] {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) {
    return Object.entries(given).flatMap(([name, value]) =>
      key === "" && kept.has(name)
        ? []
        : differences(
            value,
            (standard as Readonly<Record<string, unknown>> | undefined)?.[name],
            key === "" ? name : `${key}.${name}`,
          ),
    );
  }
  const same = JSON.stringify(given) === JSON.stringify(standard);
  return same ? [] : [`${key}=${typeof given === "string" ? given : JSON.stringify(given)}`];
}

/** The resolved configuration is the run: from it the run can be made again. */
export function trainCommand({ paths, name }: ReportFacts): string {
  return line("attune", "train", `${paths.run}/config.yaml`, "--out", `runs/${name}-again`);
}

export function evaluateCommand({ evaluation, paths }: ReportFacts): string {
  const found = evaluation.found;
  if (found === undefined) return line("attune", "evaluate", paths.run);
  if (found.command !== undefined) return found.command;
  const [, path, split] = /^(.*) \((train|validation|test)\)$/.exec(found.data.path) ?? [];
  const { batch, maxNewTokens, seed } = found.settings;
  return line(
    "attune",
    "evaluate",
    paths.run,
    ...(path === undefined ? [] : ["--on", path, "--split", split]),
    ...(found.data.judged < found.data.replies ? ["--limit", String(found.data.judged)] : []),
    "--batch",
    String(batch),
    "--max-new-tokens",
    String(maxNewTokens),
    "--seed",
    String(seed),
  );
}

export function diagnoseCommand({ paths, findings }: ReportFacts): string {
  return findings.found?.command ?? line("attune", "diagnose", paths.run);
}

export function rateCommands({ paths, ratings }: ReportFacts): readonly string[] {
  const collect = line("attune", "rate", `${paths.evaluation}/predictions.jsonl`);
  return ratings.found === undefined
    ? [collect]
    : [collect, line("attune", "rate", "results", paths.ratings)];
}

/** The command that tries a finding's remedy in a new run. */
export function remedyCommand({ paths }: ReportFacts, id: string): string {
  return line("attune", "train", "--from-finding", `${paths.run}:${id}`);
}

export function reportCommand({ paths }: ReportFacts): string {
  return line("attune", "report", paths.run);
}
