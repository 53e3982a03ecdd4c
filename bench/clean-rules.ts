/**
 * Replies a CPU second (other programs do not disturb it) of each cleaning rule alone and of all together, on real dialogues as rows (each reply with
 * its history) and as conversations. Run: npx tsx bench/clean-rules.ts
 */
import type { DialogueRecord } from "../src/data/record.ts";
import { RULES, RULE_KEYS, type RuleKey, cleaner } from "../src/data/clean/index.ts";
import { formatCount } from "../src/util/index.ts";
import { conversations, realRows, repliesIn } from "./clean-corpus.ts";

function secondsFor(records: readonly DialogueRecord[], only: readonly RuleKey[]): number {
  const clean = cleaner({}, {}, only);
  const begin = process.cpuUsage();
  for (const record of records) clean.process(record);
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1e6;
}

/** What reading from JSON leaves behind: strings whose hashes nobody has computed yet. */
function fresh(records: readonly DialogueRecord[]): readonly DialogueRecord[] {
  return records.map((record) => JSON.parse(JSON.stringify(record)) as DialogueRecord);
}

async function main(): Promise<void> {
  for (const corpora of [["sgd"], ["crosswoz"], ["bitext"]]) {
    const rows = await realRows(corpora);
    for (const [layout, records] of [
      ["rows", rows],
      ["conversations", conversations(rows)],
    ] as const) {
      const replies = repliesIn(records);
      console.log(
        `\n${corpora.join("+")} as ${layout}: ${formatCount(records.length)} records, ${formatCount(replies)} replies`,
      );
      secondsFor(fresh(records).slice(0, 2_000), RULE_KEYS);
      for (const key of RULE_KEYS) {
        const seconds = secondsFor(fresh(records), [key]);
        console.log(
          `  ${RULES[key].name.padEnd(16)} ${formatCount(replies / seconds).padStart(10)} replies/s ${((seconds * 1e6) / replies).toFixed(1).padStart(7)} µs a reply`,
        );
      }
      const seconds = secondsFor(fresh(records), RULE_KEYS);
      console.log(
        `  ${"all".padEnd(16)} ${formatCount(replies / seconds).padStart(10)} replies/s ${((seconds * 1e6) / replies).toFixed(1).padStart(7)} µs a reply`,
      );
    }
  }
}

void main();
