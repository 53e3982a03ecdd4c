/** Runs records through the rules, one after another, and keeps each rule's account. */
import type { DialogueRecord, Rejection } from "../record.ts";
import { CleanConfig, type CleanConfigInput } from "./config.ts";
import { veiler } from "./personal-data.ts";
import { type RuleReport, type RuleServices, type RunningRule, isRejected } from "./rule.ts";
import { RULES, RULE_KEYS, type RuleKey } from "./rules.ts";
import { type Tally, newTally, wholeCharacter } from "./tally.ts";
import { type Texts, newTexts } from "./texts.ts";

export type CleanResult =
  | {
      readonly kind: "kept";
      readonly record: DialogueRecord;
      readonly changed: boolean;
      /** `rule/reason` of what a person should look at. */
      readonly flags: readonly string[];
    }
  | { readonly kind: "rejected"; readonly rejection: Rejection };

export interface CleanReport {
  readonly seen: number;
  readonly kept: number;
  readonly rejected: number;
  /** One a rule, in the order of the table; rules that are off are named too. */
  readonly rules: readonly RuleReport[];
}

export interface Cleaner {
  /**
   * A first look at every record, in any order, where the source can be read twice. Only
   * `personalData.allowPublic.dialogues` needs it; without it that option has no effect.
   */
  observe(record: DialogueRecord): void;
  /** Rows in = kept + rejected. Never throws, whatever the record holds. */
  process(record: DialogueRecord): CleanResult;
  /** The account so far; may be asked for more than once. */
  finish(): CleanReport;
}

interface Step {
  readonly key: RuleKey;
  readonly rule: RunningRule | undefined;
  readonly tally: Tally;
}

/**
 * Builds the rules of `config`. `only` names the rules to run, for pipelines that run rules of scope `record`
 * in workers and those of scope `corpus` in one place. Throws `UserError` for a wrong word list or pattern.
 */
export function cleaner(
  config: CleanConfigInput = {},
  services: RuleServices = {},
  only: readonly RuleKey[] = RULE_KEYS,
): Cleaner {
  const options = CleanConfig.parse(config);
  const texts = newTexts();
  // Reports travel further than data: while personal data is looked for, no rule's example shows any.
  const veil = options.personalData.enabled ? veiler() : undefined;
  const steps = RULE_KEYS.filter((key) => only.includes(key)).map((key): Step => ({
    key,
    rule: start(key, options, services, texts),
    tally: newTally(veil),
  }));
  const running = steps.filter(
    (step): step is Step & { readonly rule: RunningRule } => step.rule !== undefined,
  );
  const observers = running.filter((step) => step.rule.observe !== undefined);
  let seen = 0;
  let kept = 0;

  return {
    observe(record) {
      if (observers.length === 0) return;
      const entries = record.messages.map((message) => texts.entry(message.content));
      for (const step of observers) step.rule.observe!(record, entries);
    },
    process(original) {
      seen += 1;
      let record = original;
      let entries = record.messages.map((message) => texts.entry(message.content));
      let flags: string[] | undefined;
      for (const { key, rule, tally } of running) {
        tally.seen += 1;
        const outcome = rule.apply(record, tally, entries);
        const raised = tally.takeFlags();
        if (isRejected(outcome)) {
          tally.rejected += 1;
          return {
            kind: "rejected",
            rejection: {
              source: original.source,
              rule: RULES[key].name,
              reason: outcome.sentence,
              excerpt: excerptOf(original),
            },
          };
        }
        if (outcome !== record) {
          tally.changed += 1;
          const before = record.messages;
          entries = outcome.messages.map((message, index) =>
            message.content === before[index]?.content ? entries[index]! : texts.entry(message.content),
          );
        }
        if (raised.length > 0) {
          tally.flagged += 1;
          (flags ??= []).push(...raised.map((reason) => `${RULES[key].name}/${reason}`));
        }
        record = outcome;
      }
      kept += 1;
      return { kind: "kept", record, changed: record !== original, flags: flags ?? [] };
    },
    finish() {
      return { seen, kept, rejected: seen - kept, rules: steps.map(reportOf) };
    },
  };
}

function start<K extends RuleKey>(
  key: K,
  options: CleanConfig,
  services: RuleServices,
  texts: Texts,
): RunningRule | undefined {
  const own: CleanConfig[K] = options[key];
  return own.enabled ? RULES[key].start(own, services, texts) : undefined;
}

function reportOf({ key, rule, tally }: Step): RuleReport {
  const details = rule?.details?.();
  return {
    name: RULES[key].name,
    summary: RULES[key].summary,
    enabled: rule !== undefined,
    seen: tally.seen,
    kept: tally.seen - tally.rejected,
    rejected: tally.rejected,
    changed: tally.changed,
    flagged: tally.flagged,
    unsupervised: tally.unsupervisedReplies,
    reasons: Object.fromEntries([...tally.reasons].sort((a, b) => b[1] - a[1])),
    examples: [...tally.examples],
    ...(details === undefined ? {} : { details }),
  };
}

const MAX_EXCERPT = 2_000;

/** The record as one line of JSON, cut; a message of 10 MB is cut before it is written. */
function excerptOf(record: DialogueRecord): string {
  const parts: string[] = [];
  let length = 0;
  for (const { role, content } of record.messages) {
    if (length >= MAX_EXCERPT) break;
    const part = JSON.stringify({ role, content: content.slice(0, wholeCharacter(content, MAX_EXCERPT)) });
    parts.push(part);
    length += part.length + 1;
  }
  const text = `[${parts.join(",")}]`;
  return text.slice(0, wholeCharacter(text, MAX_EXCERPT));
}
