/** Finds what a run left behind and reads it: everything is optional but the run itself, and a missing part says why. */
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { z } from "zod";
import { MANIFEST_FILE, REPORT_FILE, readManifest } from "../../data/index.ts";
import { UserError, errorMessage, parseJson, sha256OfFile } from "../../util/index.ts";
import { findingsFile, readFindings } from "../diagnose/index.ts";
import { evaluationFiles } from "../evaluate/index.ts";
import { type RatingResults, ratingResults, readRatings } from "../rate/index.ts";
import { isThere, readBoundedFile, refuseLarge } from "./bounded-file.ts";
import { readDialogues } from "./dialogues.ts";
import { type ReportedEvaluation, readReportedEvaluation } from "./evaluation-file.ts";
import { type RunCurves, readCurves } from "./events.ts";
import type {
  DataFacts,
  Dialogues,
  FoundFindings,
  Part,
  ReportFacts,
  ReportSettings,
  RunOrigin,
  Text,
} from "./types.ts";

export interface GatherOptions {
  /** The run's folder. */
  readonly run: string;
  readonly settings: ReportSettings;
  /** run.json and events.jsonl. */
  readonly manifestFile: string;
  readonly eventsFile: string;
  /** Folders and files that the user named; what is named must be there and sound. */
  readonly evaluation?: string;
  readonly diagnosis?: string;
  readonly ratings?: string;
  readonly madeBy: string;
  readonly date: string;
  readonly notice?: (message: string) => void;
  readonly onProgress?: (what: string) => void;
}

const longestPicture = 400_000;

export async function gatherReport(options: GatherOptions): Promise<ReportFacts> {
  const { run, settings, onProgress } = options;
  const diagnosisFolder = folderNamed(options.diagnosis, findingsFile) ?? join(run, "diagnosis");
  const evaluationFolder =
    folderNamed(options.evaluation, evaluationFiles.evaluation) ?? (await evaluationOf(run, diagnosisFolder));
  const ratingsFile = options.ratings ?? join(evaluationFolder, "ratings.jsonl");
  const origin = await readOrigin(options.manifestFile);
  onProgress?.("events");
  const curves = await part<RunCurves>(
    options.eventsFile,
    false,
    options,
    () => readCurves(options.eventsFile),
    {
      en: "The run has written no events.",
      zh: "该次训练没有留下事件记录。",
    },
  );
  if (curves.found !== undefined && curves.found.broken > 0) {
    options.notice?.(
      `${curves.found.broken} lines of ${options.eventsFile} cannot be read (first: line ${curves.found.firstBroken}); the curves are drawn without them`,
    );
  }
  onProgress?.("data");
  const data = await readData(settings, origin, options);
  onProgress?.("evaluation");
  const evaluationFile = join(evaluationFolder, evaluationFiles.evaluation);
  const evaluation = await part<ReportedEvaluation>(
    evaluationFile,
    options.evaluation !== undefined,
    options,
    () => readReportedEvaluation(evaluationFile),
    { en: "The run has not been evaluated yet.", zh: "该次训练尚未评估。" },
  );
  onProgress?.("predictions");
  const predictionsFile = join(evaluationFolder, evaluationFiles.predictions);
  const dialogues = await part<Dialogues>(
    predictionsFile,
    false,
    options,
    () => readDialogues(predictionsFile, leadingSystem(evaluation.found)),
    { en: "There are no replies to show yet.", zh: "还没有可以展示的回复。" },
  );
  if (dialogues.found !== undefined && dialogues.found.unreadable > 0) {
    options.notice?.(
      `${dialogues.found.unreadable} lines of ${predictionsFile} are no predictions (first: line ${dialogues.found.firstUnreadable ?? 1}) and were passed over`,
    );
  }
  onProgress?.("findings");
  const findings = await part<FoundFindings>(
    join(diagnosisFolder, findingsFile),
    options.diagnosis !== undefined,
    options,
    () => readAllFindings(diagnosisFolder),
    { en: "The run has not been diagnosed yet.", zh: "该次训练尚未诊断。" },
  );
  onProgress?.("ratings");
  const ratings = await part<RatingResults>(
    ratingsFile,
    options.ratings !== undefined,
    options,
    () => readResults(ratingsFile),
    { en: "Nobody has rated the replies yet.", zh: "还没有人为回复打分。" },
  );
  return {
    name: basename(resolve(run)),
    paths: {
      run: shortPath(run),
      evaluation: shortPath(evaluationFolder),
      diagnosis: shortPath(diagnosisFolder),
      ratings: shortPath(ratingsFile),
    },
    settings,
    origin,
    curves,
    data,
    evaluation,
    dialogues,
    findings,
    ratings,
    madeBy: options.madeBy,
    date: options.date,
  };
}

/** People name the folder, or the file in it. */
const folderNamed = (path: string | undefined, file: string): string | undefined =>
  path !== undefined && basename(path) === file ? dirname(path) : path;

/** The run's own evaluation; where it has none, what its diagnosis judged for itself. */
async function evaluationOf(run: string, diagnosis: string): Promise<string> {
  const [own, other] = [join(run, "evaluation"), join(diagnosis, "evaluation")];
  const has = (folder: string): Promise<boolean> => isThere(join(folder, evaluationFiles.evaluation));
  return !(await has(own)) && (await has(other)) ? other : own;
}

/** The system whose replies are the run's. */
export function leadingSystem(evaluation: ReportedEvaluation | undefined): string | undefined {
  const kinds = ["tuned", "run", "base"] as const;
  return kinds.flatMap((kind) => evaluation?.systems.find((one) => one.kind === kind)?.name ?? [])[0];
}

/** A path as people type it: relative where it lies below the working folder. */
export function shortPath(path: string): string {
  const near = relative(process.cwd(), path);
  return near === "" ? "." : near.startsWith("..") ? path : near.replaceAll("\\", "/");
}

/** What was named by the user must be sound; what was only looked for may be missing or broken, and then says so. */
async function part<T>(
  path: string,
  named: boolean,
  { notice }: GatherOptions,
  read: () => Promise<T>,
  none: Text,
): Promise<Part<T>> {
  if (!named && !(await isThere(path))) return { missing: none };
  try {
    return { found: await read() };
  } catch (error) {
    if (named || !(error instanceof UserError)) throw error;
    notice?.(`left out of the report: ${error.message}`);
    return { missing: { en: `It cannot be read: ${error.message}`, zh: `无法读取：${error.message}` } };
  }
}

const originSchema = z.object({
  model: z
    .object({ name: z.string().max(4000), weightsFingerprint: z.string().max(200).optional() })
    .partial()
    .optional(),
  data: z
    .object({
      split: z.string().max(1000).optional(),
      sources: z
        .array(
          z.object({
            path: z.string().max(4000),
            sha256: z.string().max(100).optional(),
            examples: z.number().optional(),
          }),
        )
        .max(1000)
        .optional(),
      cut: z
        .object({ training: z.object({ rows: z.number(), messages: z.number(), rejected: z.number() }) })
        .optional(),
    })
    .optional(),
});

async function readOrigin(path: string): Promise<RunOrigin> {
  const parsed = originSchema.safeParse(parseJson(await readBoundedFile(path, "the run's manifest"), path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(`the run's manifest is damaged: ${issue?.path.join(".")}: ${issue?.message}`, {
      at: path,
      next: "Restore it, or train again under another --out.",
    });
  }
  const { model, data } = parsed.data;
  return {
    ...(model?.name === undefined ? {} : { modelName: model.name }),
    ...(model?.weightsFingerprint === undefined ? {} : { weights: model.weightsFingerprint }),
    ...(data?.split === undefined ? {} : { split: data.split }),
    ...(data?.cut === undefined ? {} : { cut: data.cut.training }),
    sources: (data?.sources ?? []).map(({ path: source, sha256, examples }) => ({
      path: source,
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(examples === undefined ? {} : { examples }),
    })),
  };
}

async function readData(
  { data }: ReportSettings,
  origin: RunOrigin,
  options: GatherOptions,
): Promise<Part<DataFacts>> {
  const file = join(data.train, MANIFEST_FILE);
  return part<DataFacts>(
    file,
    false,
    options,
    async () => {
      await refuseLarge(file, "the data set's manifest");
      const recorded = origin.sources.find(({ path }) => path === data.train)?.sha256;
      return {
        path: shortPath(data.train),
        manifest: await readManifest(data.train),
        changed: recorded !== undefined && recorded !== (await sha256OfFile(file)),
        hasReport: await isThere(join(data.train, REPORT_FILE)),
      };
    },
    (await isThere(data.train))
      ? {
          en: "The run learned from plain files: they have no manifest that tells how they were cleaned.",
          zh: "该次训练直接使用原始文件，没有记录清洗过程的清单。",
        }
      : {
          en: "The data are not where the run found them.",
          zh: "训练数据已不在原来的位置。",
        },
  );
}

async function readAllFindings(folder: string): Promise<FoundFindings> {
  await refuseLarge(join(folder, findingsFile), "the findings");
  const findings = await readFindings(folder);
  const pictures = new Map<string, string>();
  for (const { picture } of findings.findings.slice(0, 40)) {
    if (picture === undefined) continue;
    const path = join(folder, picture);
    const size = await stat(path).then(
      (found) => (found.isFile() ? found.size : longestPicture + 1),
      () => longestPicture + 1,
    );
    if (size > longestPicture) continue;
    const svg = await readFile(path, "utf8");
    if (svg.startsWith("<svg ")) pictures.set(picture, svg);
  }
  return { ...findings, pictures };
}

async function readResults(path: string): Promise<RatingResults> {
  await refuseLarge(path, "the ratings file");
  const ratings = await readRatings(path);
  if (ratings.length === 0) {
    throw new UserError(`${path} holds no rating yet`, {
      next: `Rate replies with attune rate ${shortPath(join(dirname(path), evaluationFiles.predictions))}.`,
    });
  }
  try {
    return ratingResults(ratings);
  } catch (error) {
    throw new UserError(`the ratings cannot be summed up: ${errorMessage(error)}`, {
      at: path,
      cause: error,
    });
  }
}
