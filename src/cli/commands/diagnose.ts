/** `attune diagnose`: what is wrong with a run, with evidence, and the change that mends it. */
import { join } from "node:path";
import { Command, Option } from "commander";
import { z } from "zod";
import { diagnose, detectors } from "../../judge/index.ts";
import type { Finding, ModelSystem } from "../../judge/index.ts";
import { SPLITS } from "../../data/index.ts";
import { isRunFolder, readEvents, readRunManifest } from "../../project/index.ts";
import { CancelledError, UserError } from "../../util/index.ts";
import { commandLine, wholeNumber } from "../arguments.ts";
import { interruptSignal } from "../interrupt.ts";
import { type Output, bold, dim, green, red, terminalOutput } from "../terminal.ts";
import { type EvaluateFlags, evaluateRun } from "./evaluate.ts";
import { systemsOf } from "./judged-run.ts";

type DiagnoseFlags = Omit<EvaluateFlags, "systems" | "out">;

export function diagnoseCommand(): Command {
  return new Command("diagnose")
    .description("find out what is wrong with a run, with evidence, and which change mends it")
    .argument("<run>", "the folder of a run")
    .option("--on <data>", "conversations to judge on; default: what the run held out")
    .addOption(new Option("--split <name>", "of a prepared data set; default test").choices([...SPLITS]))
    .option("--limit <n>", "judge at most so many replies, drawn by the seed", wholeNumber(1, 1_000_000), 200)
    .option("--batch <n>", "replies generated at once", wholeNumber(1, 512), 16)
    .option(
      "--max-new-tokens <n>",
      "default: one and a half times the longest reference",
      wholeNumber(1, 8192),
    )
    .option("--seed <n>", "of the sample", wholeNumber(0, 2 ** 31), 0)
    .option("--threads <n>", "default: the machine's physical cores", wholeNumber(1, 1024))
    .option("--json", "print progress as JSON lines; the last is the result")
    .action(async (run: string, flags: Omit<DiagnoseFlags, "samples" | "speedSeconds">) => {
      const output = terminalOutput({ json: flags.json ?? false });
      const findings = await diagnoseRun(run, { ...flags, samples: 300, speedSeconds: 0 }, output);
      output.clear();
      output.json({ type: "result", folder: join(run, "diagnosis"), findings });
      for (const line of findingLines(run, findings)) output.line(line);
    });
}

/** Evaluates what is not evaluated yet, then looks for faults. */
export async function diagnoseRun(
  folder: string,
  flags: DiagnoseFlags,
  output: Output,
): Promise<readonly Finding[]> {
  if (!(await isRunFolder(folder))) {
    throw new UserError(`${folder} is not the folder of a run`, { next: "Name one that attune train made." });
  }
  const { on, split, limit, batch, maxNewTokens, seed } = flags;
  const command = commandLine(["diagnose", folder], { on, split, limit, batch, maxNewTokens, seed });
  const judged = await evaluateRun(folder, { ...flags, keep: true }, output, command);
  const { evaluation, folder: evaluationFolder, run, items } = judged;
  if (run === undefined) throw new Error("a run folder was opened as a model");
  const [system] = await systemsOf(["adapter"], folder, run);
  const { model } = await readRunManifest(folder);
  const trainedText = trainedTextSchema.safeParse(model);
  const interrupt = interruptSignal(() =>
    output.notice("Stopping. What is done is kept: the same command goes on."),
  );
  try {
    return await diagnose({
      folder: join(folder, "diagnosis"),
      run: folder,
      command,
      settings: run.config,
      events: await readEvents(folder),
      system: system as ModelSystem,
      training: run.training,
      items,
      evaluation,
      evaluationFolder,
      trainedText: {
        fingerprint: trainedText.data?.textFingerprint ?? "",
        ...(trainedText.data?.textSample === undefined ? {} : { sample: trainedText.data.textSample }),
      },
      batch: flags.batch,
      ...(flags.threads === undefined ? {} : { threads: flags.threads }),
      onProgress: (phase, done, total) => {
        output.json({ type: "progress", phase, done, total });
        output.live(`${phase}: ${done} of ${total}`);
      },
      notice: output.notice,
      signal: interrupt.signal,
    });
  } catch (error) {
    if (interrupt.signal.aborted) throw new CancelledError("the diagnosis");
    throw error;
  } finally {
    interrupt.dispose();
  }
}

const trainedTextSchema = z.object({
  textFingerprint: z.string().optional(),
  textSample: z.string().max(10_000).optional(),
});

function findingLines(run: string, findings: readonly Finding[]): string[] {
  if (findings.length === 0) {
    return [green(`Nothing found: ${detectors.length} detectors looked and stayed silent.`)];
  }
  const lines: string[] = [];
  for (const { id, title, evidence, examples, confidence, severity, remedy } of findings) {
    const mark = severity === "high" ? red("●") : severity === "medium" ? "●" : "○";
    lines.push("", `${mark} ${bold(title.en)} ${dim(`(${id}, ${surety(confidence)})`)}`);
    for (const { name, value, unit, expected } of evidence) {
      const shown = unit === "share" ? `${(100 * value).toFixed(1)} %` : String(Number(value.toPrecision(5)));
      lines.push(`    ${name}: ${shown}${expected === undefined ? "" : dim(`  (expected: ${expected})`)}`);
    }
    const [example] = examples;
    if (example !== undefined) lines.push(dim(`    such as: ${example.context} → ${example.prediction}`));
    lines.push(`    ${remedy.text.en}`);
    if (remedy.set.length > 0) {
      lines.push(dim(`    sets ${remedy.set.join("  ")}`));
      lines.push(`    attune train --from-finding ${run.replace(/[\\/]+$/, "")}:${id}`);
    }
    for (const command of remedy.commands ?? []) lines.push(`    ${command}`);
  }
  return lines;
}

function surety(confidence: number): string {
  const word = confidence >= 0.85 ? "nearly certain" : confidence >= 0.6 ? "likely" : "possible";
  return `${word}, ${(100 * confidence).toFixed(0)} %`;
}
