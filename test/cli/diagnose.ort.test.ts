/** `attune diagnose` beside an evaluation that is there: used when it judged no less, and never written over. */
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import { diagnoseRun } from "../../src/cli/commands/diagnose.ts";
import { evaluateRun } from "../../src/cli/commands/evaluate.ts";
import { terminalOutput } from "../../src/cli/terminal.ts";
import { readFindings } from "../../src/judge/index.ts";
import { prepareRun, resolveConfig, runTraining, trainConfigSchema } from "../../src/project/index.ts";
import { tinyProject } from "../../src/project/tiny-project.testing.ts";

let root: string;
let run: string;
let on: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-diagnose-"));
  await tinyProject(root, 30);
  [run, on] = [join(root, "run"), join(root, "train.jsonl")];
  const { config, origins } = await resolveConfig(trainConfigSchema, {
    flags: { model: join(root, "model"), data: on },
    set: ["training.steps=2", "training.batch=4", "evaluation.probes=0"],
  });
  const prepared = await prepareRun(config);
  for await (const _ of runTraining(prepared, { origins, folder: run, resume: false }));
  await prepared[Symbol.asyncDispose]();
}, 240_000);
afterAll(() => rm(root, { recursive: true, force: true }));

const asked = { batch: 8, seed: 0, speedSeconds: 0, samples: 20 };
const evaluationFile = (): Promise<string> => readFile(join(run, "evaluation", "evaluation.json"), "utf8");
const judged = async (): Promise<number> => (await readFindings(join(run, "diagnosis"))).judged;

it("keeps a fuller evaluation, and looks at all of it; another question is judged apart", async () => {
  const said = new PassThrough();
  const output = terminalOutput({ json: false }, { stdout: new PassThrough(), stderr: said });
  await evaluateRun(run, { ...asked, on, limit: 9, maxNewTokens: 6, samples: 40, seed: 3 }, output);
  const before = await evaluationFile();
  await diagnoseRun(run, { ...asked, on, limit: 4 }, output);
  expect(await evaluationFile()).toBe(before);
  expect(await judged()).toBe(9);
  expect(await readdir(join(run, "diagnosis"))).not.toContain("evaluation");
  expect(String(said.read() ?? "")).toBe("");
  // More replies than were judged: the smaller evaluation stays as it is, too.
  await diagnoseRun(run, { ...asked, on, limit: 10, maxNewTokens: 6 }, output);
  expect(await evaluationFile()).toBe(before);
  expect(await judged()).toBe(10);
  expect(String(said.read())).toMatch(/judging in .*diagnosis.evaluation/);
  // Other weights under the same name: what is there is of another run.
  await rm(join(run, "diagnosis"), { recursive: true });
  await readFile(join(run, "adapter", "adapter_config.json"), "utf8").then((text) =>
    writeFile(join(run, "adapter", "adapter_config.json"), `${text}\n`),
  );
  await diagnoseRun(run, { ...asked, on, limit: 4, maxNewTokens: 6 }, output);
  expect(await evaluationFile()).toBe(before);
  expect(await judged()).toBe(4);
  // An evaluation that cannot be read is somebody's still: it is neither used nor lost.
  const path = join(run, "evaluation", "evaluation.json");
  await writeFile(path, "{ half of");
  await diagnoseRun(run, { ...asked, on, limit: 4, maxNewTokens: 6 }, output);
  expect(await evaluationFile()).toBe("{ half of");
  expect(String(said.read())).toMatch(/not valid JSON.*stays as it is: judging in .*diagnosis.evaluation/);
  await evaluateRun(run, { ...asked, on, limit: 4, maxNewTokens: 6, systems: "base" }, output);
  expect(JSON.parse(await evaluationFile())).toMatchObject({ kind: "attune-evaluation" });
  const kept = (await readdir(join(run, "evaluation"))).filter((name) => name.includes("unreadable"));
  expect(kept).toHaveLength(1);
  expect(await readFile(join(run, "evaluation", kept[0]!), "utf8")).toBe("{ half of");
  expect(String(said.read())).toContain(kept[0]);
}, 240_000);
