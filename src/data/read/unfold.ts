/** From a mapped row to records: checks every text, and gives one record a conversation or one a reply. */
import { formatCount } from "../../util/index.ts";
import type { DialogueRecord, RecordMessage, SourcePlace } from "../record.ts";
import { INVALID_BYTES, isWellFormed, toWellFormed } from "./encoding.ts";
import { RowFault } from "./fault.ts";
import type { Dialogue } from "./layouts/layout.ts";

/** A dialogue of n replies unfolds to n histories: n² messages. */
const MAX_UNFOLDED_MESSAGES = 4_000;

/** Throws a `RowFault` for texts that no tokenizer should see, and for a dialogue without a reply. */
export function checkDialogue(dialogue: Dialogue, loneSurrogates: "reject" | "replace"): Dialogue {
  let replies = 0;
  let repaired: RecordMessage[] | undefined;
  const { messages } = dialogue;
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i]!;
    if (message.role === "assistant" && message.supervised !== false) replies += 1;
    if (message.content.includes("\0"))
      throw new RowFault("nul-character", `message ${i + 1} holds a NUL character`);
    if (isWellFormed(message.content)) continue;
    if (loneSurrogates === "reject" || message.content.includes(INVALID_BYTES)) {
      throw new RowFault(
        "lone-surrogate",
        `message ${i + 1} holds half a surrogate pair, which is no character`,
      );
    }
    repaired ??= [...messages];
    repaired[i] = { ...message, content: toWellFormed(message.content) };
  }
  if (replies === 0) {
    throw new RowFault(
      "no-reply",
      `none of the ${messages.length} messages is a reply of the assistant to learn from`,
    );
  }
  for (const name of ["dialogueId", "intent"] as const) {
    const text = dialogue[name];
    if (text !== undefined && (text.length > 1_000 || !isWellFormed(text) || text.includes("\0"))) {
      throw new RowFault(
        "wrong-type",
        `the ${name === "intent" ? "intent" : "dialogue's id"} is no short clean text`,
      );
    }
  }
  return repaired === undefined ? dialogue : { ...dialogue, messages: repaired };
}

/** Replies to a question: what `unfold: "reply"` gives. A run of assistant messages is one reply. */
export function countReplies(messages: readonly RecordMessage[]): number {
  let count = 0;
  let asked = false;
  let before: RecordMessage | undefined;
  for (const message of messages) {
    if (message.role === "user") asked = true;
    if (asked && message.role === "assistant" && message.supervised !== false) {
      if (before?.role !== "assistant" || before.supervised === false) count += 1;
    }
    before = message;
  }
  return count;
}

export function wholeConversation(
  dialogue: Dialogue,
  dialogueId: string,
  source: SourcePlace,
): DialogueRecord {
  const { messages, intent, turn, weight } = dialogue;
  const record: { -readonly [K in keyof DialogueRecord]: DialogueRecord[K] } = {
    dialogueId,
    messages,
    source,
  };
  if (intent !== undefined) record.intent = intent;
  if (turn !== undefined) record.turn = turn;
  if (weight !== undefined) record.weight = weight;
  return record;
}

/** One record a reply; `turn` counts the assistant's turns of the dialogue from 0. */
export function unfoldReplies(dialogue: Dialogue, dialogueId: string, source: SourcePlace): DialogueRecord[] {
  const messages = joinRuns(dialogue.messages);
  if (messages.length > MAX_UNFOLDED_MESSAGES) {
    const reason = `the conversation has ${formatCount(messages.length)} messages; at most ${formatCount(MAX_UNFOLDED_MESSAGES)} can be unfolded`;
    throw new RowFault("too-many-turns", reason);
  }
  const records: DialogueRecord[] = [];
  const history: RecordMessage[] = [];
  let asked = false;
  let turn = 0;
  for (const message of messages) {
    if (message.role === "user") asked = true;
    if (message.role !== "assistant") {
      history.push(message);
      continue;
    }
    if (asked && message.supervised !== false) {
      const single = dialogue.turn !== undefined && countReplies(messages) === 1;
      records.push(
        wholeConversation(
          {
            ...dialogue,
            messages: [...history, message],
            intent: message.intent ?? dialogue.intent,
            turn: single ? dialogue.turn : turn,
          },
          dialogueId,
          source,
        ),
      );
    }
    history.push(message.supervised === false ? message : { ...message, supervised: false });
    turn += 1;
  }
  if (records.length === 0)
    throw new RowFault("no-reply", "no reply of the assistant has a question before it");
  return records;
}

/** Consecutive messages of one side as one message, divided by a line break. */
export function joinRuns(messages: readonly RecordMessage[]): RecordMessage[] {
  const joined: RecordMessage[] = [];
  for (const message of messages) {
    const before = joined.at(-1);
    const sameSide =
      before?.role === message.role && (message.role === "user" || message.role === "assistant");
    if (sameSide && before.supervised === message.supervised) {
      joined[joined.length - 1] = {
        ...before,
        ...(message.intent === undefined ? {} : { intent: message.intent }),
        content: `${before.content}\n${message.content}`,
      };
    } else joined.push(message);
  }
  return joined;
}
