/** Rule: a record that says word for word what an earlier one says is dropped. */
import { z } from "zod";
import type { DialogueRecord } from "../record.ts";
import { type ClusterReport, clusterBook, placeText } from "./clusters.ts";
import { type Digest, digestOfCodes, digestOfDigests, digestTable } from "./digest.ts";
import { isSupervised, wholeMessage } from "./messages.ts";
import { type RuleDefinition, rejected } from "./rule.ts";
import type { TextEntry } from "./texts.ts";

export const ExactDuplicatesOptions = z.strictObject({
  enabled: z.boolean().default(true),
  compare: z
    .enum(["example", "reply"])
    .default("example")
    .describe("example: the replies with their whole history. reply: the replies alone."),
});
export type ExactDuplicatesOptions = z.infer<typeof ExactDuplicatesOptions>;

const ROLES = { system: 1, user: 2, assistant: 3, tool: 4 } as const;

export const exactDuplicates: RuleDefinition<ExactDuplicatesOptions> = {
  name: "exact-duplicate",
  summary: "Of records that say the same (case, width and spaces aside) the first is kept.",
  scope: "corpus",
  options: ExactDuplicatesOptions,
  start(options, _, texts) {
    const digestOf = texts.normalisedSlot(digestOfCodes);
    const table = digestTable();
    const book = clusterBook();
    const key = (record: DialogueRecord, entries: readonly TextEntry[]): Digest => {
      const parts: Digest[] = [];
      for (let index = 0; index < record.messages.length; index++) {
        const message = record.messages[index]!;
        const supervised = isSupervised(message);
        if (options.compare === "reply" && !supervised) continue;
        parts.push({ high: ROLES[message.role], low: Number(supervised) }, digestOf(entries[index]!));
      }
      return digestOfDigests(parts);
    };
    return {
      apply(record, notes, entries) {
        const first = table.getOrPut(key(record, entries), table.size);
        if (first === undefined) {
          book.keep(record);
          return record;
        }
        notes.count("same-text", record, () =>
          wholeMessage(record, record.messages.findLastIndex(isSupervised)),
        );
        book.add(first, record);
        return rejected("same-text", `the same text stands in ${placeText(book.place(first))}`);
      },
      details(): ClusterReport {
        return book.report();
      },
    };
  },
};
