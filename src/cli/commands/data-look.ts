/** `attune data show | check | report | diff`: looking at data sets that are there. */
import { join } from "node:path";
import { Command } from "commander";
import {
  type Dataset,
  MANIFEST_FILE,
  REPORT_FILE,
  SPLITS,
  type Split,
  checkDataset,
  diffDatasets,
  openDataset,
  readManifest,
  renderReport,
} from "../../data/index.ts";
import { UserError, excerpt, formatCount, formatPercent, writeFileAtomic } from "../../util/index.ts";
import { bold, dim, green, red, terminalOutput } from "../terminal.ts";
import { resultJson, summaryLines } from "./data-prepare.ts";

export function showCommand(): Command {
  return new Command("show")
    .description("what a data set holds, and some of its examples")
    .argument("<folder>", "a data set")
    .option("--split <name>", `examples of ${SPLITS.join(", ")}`, "train")
    .option("--examples <number>", "how many examples to print", "0")
    .option("--intent <name>", "only examples of this intent")
    .option("--json", "print one result as JSON")
    .action(
      async (folder: string, flags: { split: string; examples: string; intent?: string; json?: boolean }) => {
        const output = terminalOutput({ json: flags.json ?? false });
        const dataset = await openDataset(folder);
        const split = SPLITS.find((name) => name === flags.split);
        if (split === undefined) {
          throw new UserError(`--split ${flags.split}: there is no such split`, {
            next: `Use ${SPLITS.join(", ")}.`,
          });
        }
        output.json(resultJson(folder, dataset.manifest));
        for (const line of summaryLines(dataset.manifest)) output.line(line);
        await showExamples(dataset, split, Number(flags.examples), flags.intent, (line) => output.line(line));
      },
    );
}

async function showExamples(
  dataset: Dataset,
  split: Split,
  wanted: number,
  intent: string | undefined,
  print: (line: string) => void,
): Promise<void> {
  let left = wanted;
  if (!(left > 0)) return;
  for await (const example of dataset.examples(split)) {
    if (intent !== undefined && example.intent !== intent) continue;
    print("");
    print(bold(`${example.dialogueId}  ${example.intent ?? "(no intent)"}`));
    for (const { role, content, supervised } of example.messages) {
      const learned = role === "assistant" && supervised !== false;
      const line = `${(learned ? "▸ " : "  ") + role.padEnd(10)} ${excerpt(content, 200)}`;
      print(learned ? line : dim(line));
    }
    left -= 1;
    if (left <= 0) return;
  }
}

export function checkCommand(): Command {
  return new Command("check")
    .description("prove a data set again: hashes, counts, every line, no leak between the splits")
    .argument("<folder>", "a data set")
    .option("--json", "print one result as JSON")
    .action(async (folder: string, flags: { json?: boolean }) => {
      const output = terminalOutput({ json: flags.json ?? false });
      let seen = 0;
      const { leaks, problems } = await checkDataset(folder, () => {
        seen += 1;
        if (seen % 2000 === 0) output.live(`checking · ${formatCount(seen)} examples`);
      });
      const { dialogueId, conversation, nearDuplicate, threshold, sharedReplies } = leaks.counts;
      output.json({
        type: "result",
        folder,
        ok: problems.length === 0,
        examples: seen,
        leaks: dialogueId + conversation + nearDuplicate,
        leakDetails: leaks.counts,
        found: leaks.found,
        problems,
      });
      output.line(`${formatCount(dialogueId)} conversation ids stand in two splits`);
      output.line(
        `${formatCount(conversation)} conversations outside train are the same as one of another split`,
      );
      output.line(`${formatCount(nearDuplicate)} are nearly the same (Jaccard ≥ ${threshold})`);
      output.line(
        dim(`${formatPercent(sharedReplies, 1)} of the replies outside train stand word for word in train`),
      );
      for (const { kind, dialogueId: id, split, otherId, otherSplit } of leaks.found) {
        output.line(red(`  ${kind}: ${id} (${split}) and ${otherId} (${otherSplit})`));
      }
      if (problems.length === 0)
        output.line(`${green("✓")} ${folder} is as it was written: ${formatCount(seen)} examples`);
      else {
        throw new UserError(`${folder}: ${problems.join("; ")}`, {
          next: "Make the data set again with `attune data prepare`.",
        });
      }
    });
}

export function reportCommand(): Command {
  return new Command("report")
    .description(`write ${REPORT_FILE} again from ${MANIFEST_FILE}`)
    .argument("<folder>", "a data set")
    .option("--out <file>", "where to write it")
    .option("--json", "print one result as JSON")
    .action(async (folder: string, flags: { out?: string; json?: boolean }) => {
      const output = terminalOutput({ json: flags.json ?? false });
      const path = flags.out ?? join(folder, REPORT_FILE);
      await writeFileAtomic(path, renderReport(await readManifest(folder)));
      output.json({ type: "result", report: path });
      output.line(`${green("✓")} ${path}`);
    });
}

const SHOWN_FIGURES = 60;

export function diffCommand(): Command {
  return new Command("diff")
    .description("what differs between two data sets: lines, settings, counts")
    .argument("<first>", "a data set")
    .argument("<second>", "another")
    .option("--json", "print one result as JSON")
    .action(async (first: string, second: string, flags: { json?: boolean }) => {
      const output = terminalOutput({ json: flags.json ?? false });
      const diff = await diffDatasets(first, second);
      output.json({ type: "result", ...diff });
      for (const split of SPLITS) {
        const part = diff.examples[split];
        output.line(
          `${split.padEnd(11)} ${formatCount(part.both)} examples in both, ${formatCount(part.first)} only in ${first}, ${formatCount(part.second)} only in ${second}`,
        );
      }
      for (const { key, first: a, second: b } of diff.figures.slice(0, SHOWN_FIGURES)) {
        output.line(`${key}: ${shown(a)} → ${shown(b)}`);
      }
      if (diff.figures.length > SHOWN_FIGURES) {
        output.line(
          dim(`… and ${formatCount(diff.figures.length - SHOWN_FIGURES)} more figures (--json has all)`),
        );
      }
      if (diff.figures.length === 0) output.line("settings and counts are the same");
    });
}

function shown(value: unknown): string {
  return value === undefined ? "–" : excerpt(JSON.stringify(value), 80);
}
