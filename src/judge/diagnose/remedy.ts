/** The remedy of a finding as settings: what `attune train --from-finding PATH:ID` applies. */
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UserError, errorCode, excerpt, nearest } from "../../util/index.ts";
import { findingsFile, readFindings } from "./findings.ts";

/** Where `attune diagnose` puts its findings in a run's folder. */
export const diagnosisFolder = "diagnosis";

export interface FindingRemedy {
  readonly id: string;
  /** The file that the finding stands in. */
  readonly file: string;
  /** `key=value` pairs for a training configuration; at least one. */
  readonly set: readonly string[];
  /** Folder of the run that was diagnosed, as the file's place tells it. */
  readonly run: string;
}

/** What a finding may not choose: which model, which data, and where something is written. */
const notByFindings = /^(model|data|out)(\.(train|validation|fields)\b.*)?$/;

/** Reads `PATH:ID`, where PATH is a run, its diagnosis, or the findings.json in it. */
export async function openRemedy(reference: string): Promise<FindingRemedy> {
  const colon = reference.lastIndexOf(":");
  const [path, id] = [reference.slice(0, colon), reference.slice(colon + 1)];
  if (colon < 1 || id === "" || /[\\/]/.test(id)) {
    throw new UserError(`--from-finding ${excerpt(reference)}: expected PATH:ID`, {
      next: "For example --from-finding runs/first/diagnosis:overfitting.",
    });
  }
  const folder = await diagnosisOf(path);
  const file = join(folder, findingsFile);
  const { findings } = await readFindings(folder);
  const finding = findings.find((one) => one.id === id);
  if (finding === undefined) {
    const ids = findings.map((one) => one.id);
    const near = nearest(id, ids);
    const there = ids.length === 0 ? "It found nothing." : `It found ${ids.join(", ")}.`;
    throw new UserError(`the diagnosis has no finding ${JSON.stringify(excerpt(id, 60))}`, {
      at: file,
      next: near === undefined ? there : `${there} Did you mean ${near}?`,
    });
  }
  const { set, text, commands = [] } = finding.remedy;
  if (set.length === 0) {
    const what = commands.length === 0 ? "" : ` Instead: ${commands.join("; ")}`;
    throw new UserError(`no setting of training mends ${id}`, { at: file, next: `${text.en}${what}` });
  }
  for (const pair of set) refuseForeign(pair, id, file);
  return { id, file, set, run: join(folder, "..") };
}

function refuseForeign(pair: string, id: string, file: string): void {
  const key = pair.slice(0, Math.max(0, pair.indexOf("=")));
  if (!/^[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*$/.test(key)) {
    throw new UserError(`the remedy of ${id} is ${JSON.stringify(excerpt(pair, 60))}; it must be key=value`, {
      at: file,
      next: "Make the findings anew with attune diagnose RUN.",
    });
  }
  if (notByFindings.test(key)) {
    throw new UserError(`the remedy of ${id} sets ${key}, which is not a finding's to choose`, {
      at: file,
      next: `If you want it, say so yourself: --set ${key}=….`,
    });
  }
}

/** The folder that holds findings.json. */
async function diagnosisOf(path: string): Promise<string> {
  for (const folder of [path, join(path, diagnosisFolder)]) {
    if (await isFile(join(folder, findingsFile))) return folder;
  }
  if (await isFile(path)) {
    if (path.endsWith(findingsFile)) return dirname(path);
    throw new UserError(`${path} is not a ${findingsFile}`, { next: "Name a run or its diagnosis." });
  }
  throw new UserError(`${path} holds no findings`, { next: `Make them with: attune diagnose ${path}` });
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(errorCode(error) ?? "")) return false;
    throw error;
  }
}
