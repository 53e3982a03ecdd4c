/** What a chat template writes around each turn: where a reply starts, which token ends it. */
import { UserError, excerpt } from "../../util/index.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Message } from "./conversation.ts";
import { type Marker, type UnmarkedText, marker, specialPattern } from "./marked-text.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A conversation whose contents carry marks; every text below is marked text, every offset one into it. */
export interface MarkedConversation {
  readonly messages: readonly Message[];
  readonly unmark: Marker["unmark"];
  /** The text of the first `count` messages. */
  text(count: number): string;
  /** The text a reply after the first `count` messages goes on from. */
  prompt(count: number): string;
  /** The reply at `index`, from the end of its prompt to the end of its stop token. */
  reply(index: number): MarkedReply;
}

export interface MarkedReply {
  /** Where the prompt ends and the reply begins. */
  readonly start: number;
  /** Behind the stop token. */
  readonly end: number;
  /** The conversation up to and with this reply, as the template writes it while this is the last turn. */
  readonly text: string;
  readonly stopId: number;
}

export interface TurnReader {
  readonly stopId: number;
  /** The template lets an assistant message open a conversation. */
  readonly allowsOpening: boolean;
  open(messages: readonly Message[]): MarkedConversation;
}

/** Stands in for a reply's content where only what precedes it is wanted. */
const probe = "Attune7content";

/**
 * Learns the template by rendering a short conversation; throws when it ends a reply with no special token,
 * because such a model would never learn to stop.
 */
export function turnReader(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  separator: string | undefined,
): TurnReader {
  const specials = specialPattern(tokenizer.specialTokens.map((token) => token.content));
  const question: Message = { role: "user", content: "a" };
  const renders = memo((messages: readonly Message[], addGenerationPrompt: boolean) =>
    template.render(messages, { addGenerationPrompt }),
  );
  const asked = renders([question], true);
  const hasPrompt = asked !== renders([question], false);
  const answered = renders([question, { role: "assistant", content: probe }], false);
  const openingHasSpecial =
    !answered.startsWith(asked) ||
    tokenizer.findSpecial(answered.slice(asked.length).split(probe)[0]!, []) !== undefined;

  const open = (messages: readonly Message[]): MarkedConversation => {
    const marks = marker(specials, [template.source, ...messages.map((message) => message.content)]);
    const marked = messages.map((message) => ({ ...message, content: marks.mark(message.content) }));
    const write = separator === undefined ? renders : withSeparator(renders, separator);

    const text = (count: number): string => write(marked.slice(0, count), false);
    /** The conversation with a stand-in for `count`'s reply, up to where its content starts. */
    const upToContent = (count: number): string => {
      const shown = write([...marked.slice(0, count), { role: "assistant", content: probe }], false);
      const at = shown.lastIndexOf(probe);
      if (at < 0) throw templateMismatch(probe, shown);
      return shown.slice(0, at);
    };
    const prompt = (count: number): string => {
      // Nobody asks for an opening: its prompt is what the template writes before it.
      if (messages.slice(0, count).every((message) => message.role === "system")) return upToContent(count);
      const before = write(marked.slice(0, count), true);
      if (hasPrompt) return before;
      // A template that writes no generation prompt still opens the reply's turn: that opening is the prompt.
      const opened = upToContent(count);
      return opened.startsWith(before) && opened.slice(before.length).trim() !== "" ? opened : before;
    };
    const reply = (index: number): MarkedReply => {
      const before = prompt(index);
      let shown = text(index + 1);
      let content = before.length;
      if (!shown.startsWith(before)) {
        const opened = upToContent(index);
        const turnMark = before.slice(behindContents(before, marked.slice(0, index)));
        // Templates that move the system message into the last question write another history once it is answered.
        // The reply then goes on from the prompt, as it will when served, if its turn opens in the same way.
        if (!opened.endsWith(turnMark) || !shown.startsWith(opened)) throw templateMismatch(before, shown);
        shown = before + shown.slice(opened.length);
      } else if (openingHasSpecial) {
        // A special token between prompt and content is not the one that ends the reply.
        const opened = upToContent(index);
        if (opened.startsWith(before) && shown.startsWith(opened)) content = opened.length;
      }
      const stop = firstSpecial(tokenizer, marks, shown, content);
      if (stop === undefined) throw noStop();
      return { start: before.length, end: stop.end, text: shown, stopId: stop.id };
    };
    return { messages, unmark: marks.unmark, text, prompt, reply };
  };

  const answer: Message = { role: "assistant", content: "b" };
  const { stopId } = open([question, answer]).reply(1);
  return { stopId, allowsOpening: !refuses(() => renders([answer, question], true)), open };
}

function refuses(render: () => unknown): boolean {
  try {
    render();
    return false;
  } catch (error) {
    if (error instanceof UserError) return true;
    throw error;
  }
}

/** The offset in `prompt` behind the last message's content. */
function behindContents(prompt: string, messages: readonly Message[]): number {
  const last = messages.at(-1)?.content.trim() ?? "";
  const at = prompt.lastIndexOf(last);
  return at < 0 ? 0 : at + last.length;
}

/** The first special token at or behind `from` that the template wrote, not a message. */
function firstSpecial(
  tokenizer: Tokenizer,
  marks: Marker,
  marked: string,
  from: number,
): { readonly id: number; readonly end: number } | undefined {
  const tail: UnmarkedText = marks.unmark(marked.slice(from), []);
  const found = tokenizer.findSpecial(tail.text, tail.plain);
  if (found === undefined) return undefined;
  return { id: found.id, end: marks.offsetOf(marked, from, found.end) };
}

type Render = (messages: readonly Message[], addGenerationPrompt: boolean) => string;

/** The separator stands between two turns; a system message belongs to the turn that follows it. */
function withSeparator(render: Render, separator: string): Render {
  return (messages, addGenerationPrompt) => {
    const whole = render(messages, addGenerationPrompt);
    const first = messages.findIndex((message) => message.role !== "system");
    if (first < 0) return whole;
    let text = "";
    let from = 0;
    const last = addGenerationPrompt ? messages.length : messages.length - 1;
    for (let count = first + 1; count <= last; count++) {
      const before = render(messages.slice(0, count), false);
      if (!whole.startsWith(before)) {
        throw new UserError(
          "a turn separator needs a template that writes a turn the same way whatever follows it",
          {
            next: "Leave the separator out: this model's template marks its turns already.",
          },
        );
      }
      text += whole.slice(from, before.length) + separator;
      from = before.length;
    }
    return text + whole.slice(from);
  };
}

interface Beginning {
  readonly next: Map<string, Map<string, Beginning>>;
  text?: string;
  prompt?: string;
}

/** Rows of one conversation share their beginnings: each is rendered once. */
function memo(render: Render): Render {
  let root: Beginning = { next: new Map() };
  let characters = 0;
  const find = (messages: readonly Message[]): Beginning => {
    let at = root;
    for (const { role, content } of messages) {
      let byContent = at.next.get(role);
      if (byContent === undefined) at.next.set(role, (byContent = new Map()));
      let next = byContent.get(content);
      if (next === undefined) byContent.set(content, (next = { next: new Map() }));
      at = next;
    }
    return at;
  };
  return (messages, addGenerationPrompt) => {
    const field = addGenerationPrompt ? "prompt" : "text";
    const known = find(messages)[field];
    if (known !== undefined) return known;
    const text = render(messages, addGenerationPrompt);
    characters += text.length;
    if (characters > maxMemoCharacters) {
      root = { next: new Map() };
      characters = text.length;
    }
    find(messages)[field] = text;
    return text;
  };
}

const maxMemoCharacters = 8_000_000;

function templateMismatch(before: string, shown: string): UserError {
  let same = 0;
  while (same < before.length && before[same] === shown[same]) same += 1;
  return new UserError(
    "the chat template writes a reply differently from the prompt that asks for it: " +
      `the prompt goes on "${excerpt(before.slice(same), 40)}", the conversation "${excerpt(shown.slice(same), 40)}"`,
    { next: "Give a template whose conversations start with their own generation prompts." },
  );
}

function noStop(): UserError {
  return new UserError(
    "the chat template ends a reply with no special token, so a model trained on it would never stop",
    {
      next: "Give a template that writes an end-of-turn token after every assistant message.",
    },
  );
}
