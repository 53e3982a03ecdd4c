/** Helpers of the rules' tests: records from a few words, and one rule run over them. */
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { cleaner, type CleanReport, type CleanResult } from "./cleaner.ts";
import type { CleanConfigInput } from "./config.ts";
import type { RuleReport, RuleServices } from "./rule.ts";
import type { RuleKey } from "./rules.ts";

let line = 0;

/** `dialogue("u: hi", "a: hello", "h: history", "s: system", "t: tool")`; h is an assistant message that is history only. */
export function dialogue(...turns: readonly string[]): DialogueRecord {
  line += 1;
  return { dialogueId: `d${line}`, messages: turns.map(messageOf), source: { file: "test.jsonl", line } };
}

function messageOf(turn: string): RecordMessage {
  const content = turn.slice(3);
  switch (turn.slice(0, 2)) {
    case "u:":
      return { role: "user", content };
    case "a:":
      return { role: "assistant", content };
    case "h:":
      return { role: "assistant", content, supervised: false };
    case "s:":
      return { role: "system", content };
    default:
      return { role: "tool", content };
  }
}

/** The way `dialogue` writes it. */
export function shown(result: CleanResult): readonly string[] | string {
  if (result.kind === "rejected") return `${result.rejection.rule}: ${result.rejection.reason}`;
  return result.record.messages.map(({ role, content, supervised }) => {
    const letter = role === "assistant" ? (supervised === false ? "h" : "a") : role.charAt(0);
    return `${letter}: ${content}`;
  });
}

export interface RuleRun {
  readonly results: readonly CleanResult[];
  readonly shown: readonly (readonly string[] | string)[];
  readonly report: RuleReport;
  readonly whole: CleanReport;
}

/** Runs one rule, and no other, over the records. */
export function run(
  key: RuleKey,
  records: readonly DialogueRecord[],
  config: CleanConfigInput = {},
  services: RuleServices = {},
  observe = false,
): RuleRun {
  const clean = cleaner(config, services, [key]);
  if (observe) for (const record of records) clean.observe(record);
  const results = records.map((record) => clean.process(record));
  const whole = clean.finish();
  return { results, shown: results.map(shown), report: whole.rules[0]!, whole };
}
