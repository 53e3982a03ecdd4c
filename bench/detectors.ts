/** Every detector of a diagnosis on a run that has its fault on purpose, and on healthy runs: which findings are made. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { detectors } from "../src/judge/index.ts";
import { UserError, errorMessage } from "../src/util/index.ts";
import { cases } from "../test/faults/cases.ts";
import { type Planted, plant } from "../test/faults/plant.ts";

interface Flags {
  readonly only?: string;
  readonly json?: boolean;
}

/** What became of a case. */
interface Outcome {
  readonly id: string;
  readonly fault: string;
  readonly expected: readonly { readonly finding: string; readonly confidence: number | null }[];
  readonly others: readonly { readonly finding: string; readonly confidence: number }[];
  readonly passed: boolean;
  readonly lossBefore: number;
  readonly lossBest: number;
  readonly steps: number;
  readonly seconds: number;
}

export function detectorsCommand(): Command {
  return new Command("detectors")
    .description(
      "plants faults in real training runs of the embedded model: does each detector find its own?",
    )
    .option("--only <id>", "one case, or all that must make the finding of this name")
    .option("--json", "print a JSON line a case")
    .action(async ({ only, json = false }: Flags) => {
      const chosen = cases.filter(
        ({ id, expected }) => only === undefined || id === only || expected.includes(only),
      );
      if (chosen.length === 0) {
        throw new UserError(`no case is named ${only}, and none must make that finding`, {
          next: `There are ${cases.map(({ id }) => id).join(", ")}.`,
        });
      }
      await run(chosen, json, only === undefined);
    });
}

async function run(chosen: typeof cases, json: boolean, all: boolean): Promise<void> {
  const root = join(".cache", "bench", "detectors");
  await mkdir(root, { recursive: true });
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (!json) {
    say("| case | what was done | must be found | found besides | loss | s |");
    say("| --- | --- | --- | --- | --- | --- |");
  }
  let failed = 0;
  for (const one of chosen) {
    try {
      const outcome = outcomeOf(one, await plant(one, join(root, one.id)));
      if (!outcome.passed) failed += 1;
      say(json ? JSON.stringify(outcome) : row(outcome));
    } catch (error) {
      failed += 1;
      const problem = errorMessage(error);
      say(
        json
          ? JSON.stringify({ id: one.id, problem })
          : `| ${one.id} | ${one.fault} | ERROR ${problem} | | | |`,
      );
    }
  }
  const unproved = detectors
    .map(({ id }) => id)
    .filter((id) => !chosen.some(({ expected }) => expected.includes(id)));
  if (!json) {
    say(`\n${chosen.length - failed} of ${chosen.length} cases as they must be.`);
    if (all) say(`Detectors without a case: ${unproved.length === 0 ? "none" : unproved.join(", ")}.`);
  }
  if (failed > 0) process.exitCode = 1;
}

function outcomeOf({ id, fault, expected }: (typeof cases)[number], planted: Planted): Outcome {
  const { findings, lossBefore, lossBest, steps, trainSeconds, diagnoseSeconds } = planted;
  const confidence = new Map(findings.map((one) => [one.id, one.confidence]));
  const others = findings
    .filter((one) => !expected.includes(one.id))
    .map((one) => ({ finding: one.id, confidence: one.confidence }));
  return {
    id,
    fault,
    expected: expected.map((finding) => ({ finding, confidence: confidence.get(finding) ?? null })),
    others,
    // A run with a fault may have others; a healthy one may have none.
    passed:
      expected.every((finding) => confidence.has(finding)) && (expected.length > 0 || others.length === 0),
    lossBefore,
    lossBest,
    steps,
    seconds: trainSeconds + diagnoseSeconds,
  };
}

const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;

function row({ id, fault, expected, others, lossBefore, lossBest, seconds }: Outcome): string {
  const must = expected.map(
    ({ finding, confidence }) => `${finding} ${confidence === null ? "**NOT FOUND**" : percent(confidence)}`,
  );
  const besides = others.map(({ finding, confidence }) => `${finding} ${percent(confidence)}`);
  const cells = [
    id,
    fault,
    must.length === 0 ? "nothing" : must.join(", "),
    besides.length === 0 ? "–" : besides.join(", "),
    `${lossBefore.toFixed(2)} → ${lossBest.toFixed(2)}`,
    seconds.toFixed(0),
  ];
  return `| ${cells.join(" | ")} |`;
}
