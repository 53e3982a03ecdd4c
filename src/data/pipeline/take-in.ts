/** Reading and cleaning: every row of every source ends in the intake or among the rejected. */
import { RULES, RULE_KEYS, type RuleReport, cleaner } from "../clean/index.ts";
import type { Manifest, RuleSection } from "../dataset/index.ts";
import type { SourceReport } from "../read/index.ts";
import type { Rejection } from "../record.ts";
import type { DataConfig } from "./config.ts";
import type { Intake } from "./intake.ts";
import { Lengths } from "./lengths.ts";
import type { PrepareOptions } from "./prepare.ts";
import type { ProgressClock } from "./progress.ts";
import { openSourceStage } from "./source-client.ts";

export interface TakeInTools {
  readonly intake: Intake;
  readonly reject: (rejection: Rejection) => Promise<void> | undefined;
  /** Called once a row; throws when the user cancelled. */
  readonly tick: () => void;
  readonly checkCancelled: () => void;
  readonly clock: ProgressClock;
}

export interface TakenIn {
  /** Rows that came in: records, and rows that gave none. */
  readonly read: number;
  readonly sources: readonly SourceReport[];
  readonly sourceNames: readonly string[];
  readonly sourceWeights: readonly (number | undefined)[];
  readonly rules: readonly RuleSection[];
  readonly lengths: Manifest["lengths"];
}

export async function takeIn(
  config: DataConfig,
  options: PrepareOptions,
  tools: TakeInTools,
): Promise<TakenIn> {
  const { intake, reject, tick, clock } = tools;
  const sources = config.sources.map((source) => (typeof source === "string" ? { path: source } : source));
  const corpusRules = cleaner(
    config.clean,
    {},
    RULE_KEYS.filter((key) => RULES[key].scope === "corpus"),
  );
  const lengths = new Lengths(options.tokens);
  const stage = await openSourceStage(
    {
      sources: sources.map((source) => ({
        path: source.path,
        format: source.format ?? config.format,
        fields: source.fields ?? config.fields,
      })),
      unfold: config.examples,
      clean: config.clean,
      strict: options.strict ?? false,
    },
    options,
  );
  let read = 0;
  clock.start("look");
  let looking = true;
  try {
    for (;;) {
      const next = await stage.next();
      tools.checkCancelled();
      if (next.done === true) {
        await intake.finish();
        const { value: summary } = next;
        clock.end();
        return {
          read,
          sources: summary.sources,
          sourceNames: sources.map((source) => source.path),
          sourceWeights: sources.map((source) => source.weight),
          rules: mergeRules(summary.rules, corpusRules.finish().rules),
          lengths: {
            replyWordsBefore: summary.wordsBefore,
            turnsBefore: summary.turnsBefore,
            ...lengths.value(),
          },
        };
      }
      const batch = next.value;
      if (batch.looking) {
        clock.advance(batch.fraction);
        continue;
      }
      if (looking) clock.start("read");
      looking = false;
      if (batch.fraction !== undefined) clock.setFraction(batch.fraction);
      for (const row of batch.rows) {
        tick();
        read += 1;
        if ("rejection" in row) {
          await reject(row.rejection);
          continue;
        }
        const outcome = corpusRules.process(row.record);
        if (outcome.kind === "rejected") {
          await reject(outcome.rejection);
          continue;
        }
        lengths.add(outcome.record, row);
        const due = intake.add(outcome.record, batch.source);
        if (due !== undefined) await due;
      }
    }
  } finally {
    await stage.return(undefined as never);
  }
}

/** The accounts of both stages in the order of the rules. */
function mergeRules(a: readonly RuleReport[], b: readonly RuleReport[]): RuleSection[] {
  const reports = new Map([...a, ...b].map((report) => [report.name, report]));
  return RULE_KEYS.flatMap((key) => {
    const report = reports.get(RULES[key].name);
    return report === undefined
      ? []
      : [
          {
            ...report,
            examples: report.examples.map((example) => ({ ...example, source: { ...example.source } })),
          },
        ];
  });
}
