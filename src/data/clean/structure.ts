/** Rule: a conversation goes system?, user, assistant, user, …; what is certain is repaired, the rest turned away. */
import { z } from "zod";
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { isSupervised, withContent } from "./messages.ts";
import { type Mark, type Notes, type Rejected, type RuleDefinition, rejected } from "./rule.ts";

export const StructureOptions = z.strictObject({
  enabled: z.boolean().default(true),
  joiner: z
    .string()
    .max(20)
    .default("\n")
    .describe("Stands between consecutive messages of one side that are joined."),
  opening: z
    .enum(["drop", "keep", "reject"])
    .default("drop")
    .describe(
      "A reply before any question, usually a greeting: drop it, keep it as history (some chat templates refuse that), or reject the record.",
    ),
});
export type StructureOptions = z.infer<typeof StructureOptions>;

export const structure: RuleDefinition<StructureOptions> = {
  name: "structure",
  summary: "Roles take turns, no turn is empty, a question comes before its reply.",
  scope: "record",
  options: StructureOptions,
  start(options) {
    return {
      apply(record, notes) {
        return isSound(record.messages) ? record : repair(record, options, notes);
      },
    };
  },
};

/** White space at either end. ASCII, the usual, is told without a regular expression. */
function hasEdgeSpace(text: string): boolean {
  const first = text.charCodeAt(0);
  const last = text.charCodeAt(text.length - 1);
  if (first <= 0x20 || last <= 0x20) return text.trim().length < text.length;
  return (isRareSpace(first) || isRareSpace(last)) && text.trim().length < text.length;
}

/** All that `trim` removes above ASCII. */
function isRareSpace(code: number): boolean {
  return (
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x205f) ||
    code === 0x3000 ||
    code === 0xfeff
  );
}

/** The usual record, told in one pass without building anything. */
function isSound(messages: readonly RecordMessage[]): boolean {
  const offset = messages[0]?.role === "system" ? 1 : 0;
  if (messages.length < offset + 2 || (messages.length - offset) % 2 === 1) return false;
  let learned = false;
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i]!;
    const expected = i < offset ? "system" : (i - offset) % 2 === 0 ? "user" : "assistant";
    if (message.role !== expected || message.content === "" || hasEdgeSpace(message.content)) return false;
    learned ||= isSupervised(message);
  }
  return learned;
}

function repair(record: DialogueRecord, options: StructureOptions, notes: Notes): DialogueRecord | Rejected {
  const mark =
    (message: number): (() => Mark) =>
    () => ({
      message,
      start: 0,
      end: record.messages[message]?.content.length ?? 0,
    });
  const turnAway = (reason: string, sentence: string, message: number): Rejected => {
    notes.count(reason, record, mark(message));
    return rejected(reason, sentence);
  };

  const made: RecordMessage[] = [];
  let blankQuestion = false;
  let blankReply = false;
  for (let index = 0; index < record.messages.length; index++) {
    const original = record.messages[index]!;
    const message = withContent(original, original.content.trim());
    if (message !== original) notes.count("white-space", record, mark(index));
    const last = made.at(-1);
    if (message.content === "" && message.role !== "tool") {
      notes.count("empty-turn", record, mark(index));
      if (message.role === "user") blankQuestion = true;
      else if (isSupervised(message)) blankReply = true;
      continue;
    }
    if (message.role === "system" && last !== undefined && last.role !== "system") {
      return turnAway("late-system", `message ${index + 1} is a system message; it must come first`, index);
    }
    if (
      message.role === "tool" &&
      last?.role !== "assistant" &&
      last?.role !== "tool" &&
      last?.role !== undefined
    ) {
      return turnAway(
        "tool-without-call",
        `message ${index + 1} is a tool's result that no reply asked for`,
        index,
      );
    }
    if (message.role === "assistant" && last?.role === "assistant" && blankQuestion) {
      return turnAway("empty-question", `message ${index + 1} answers an empty message`, index);
    }
    if (message.role === "user" || message.role === "assistant") blankQuestion = false;
    if (last !== undefined && last.role === message.role && message.role !== "tool") {
      notes.count("joined", record, mark(index));
      made[made.length - 1] = joined(last, message, options.joiner);
    } else {
      made.push(message);
    }
  }

  const opening = dealWithOpening(made, options, record, notes);
  if (opening !== undefined) return opening;
  while (made.length > 0 && (made.at(-1)!.role === "user" || made.at(-1)!.role === "tool")) {
    notes.count("unanswered", record, mark(record.messages.length - 1));
    made.pop();
  }
  if (!record.messages.some((message) => message.role === "user" && message.content.trim() !== "")) {
    return turnAway("no-user-turn", "no message of a user is in the conversation", 0);
  }
  if (!made.some(isSupervised)) {
    return blankReply
      ? turnAway("empty-reply", "the reply is empty", record.messages.length - 1)
      : turnAway("no-reply", "no reply to learn from follows a user's message", record.messages.length - 1);
  }
  const untouched =
    made.length === record.messages.length &&
    made.every((message, index) => message === record.messages[index]);
  return untouched ? record : { ...record, messages: made };
}

/** Takes away, or keeps as history, what the assistant says before the first question. */
function dealWithOpening(
  made: RecordMessage[],
  options: StructureOptions,
  record: DialogueRecord,
  notes: Notes,
): Rejected | undefined {
  const start = made[0]?.role === "system" ? 1 : 0;
  let end = start;
  while (end < made.length && made[end]!.role !== "user") end += 1;
  if (end === start) return undefined;
  const place = record.messages.findIndex((message) => message.role !== "system");
  notes.count("reply-before-question", record, () => ({
    message: place,
    start: 0,
    end: record.messages[place]?.content.length ?? 0,
  }));
  if (options.opening === "reject") {
    return rejected("reply-before-question", "the conversation begins with a reply");
  }
  if (options.opening === "drop") made.splice(start, end - start);
  for (let i = start; options.opening === "keep" && i < end; i++) {
    if (made[i]!.role === "assistant") made[i] = { ...made[i]!, supervised: false };
  }
  return undefined;
}

/** The later message decides whether the whole is learned from. */
function joined(first: RecordMessage, second: RecordMessage, joiner: string): RecordMessage {
  const intent = second.intent ?? first.intent;
  return {
    role: second.role,
    content: `${first.content}${joiner}${second.content}`,
    ...(second.supervised === undefined ? {} : { supervised: second.supervised }),
    ...(intent === undefined ? {} : { intent }),
  };
}
