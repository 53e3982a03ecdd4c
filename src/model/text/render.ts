/** Conversations to token ids and their loss mask, made together: every supervised reply with its stop token, nothing else. */
import { createHash } from "node:crypto";
import { UserError, formatCount } from "../../util/index.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Message } from "./conversation.ts";
import { isTurnStart, leadingSystem, pinnedMessages } from "./pinned.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { type MarkedConversation, turnReader } from "./turns.ts";

/** One sequence to train on. It ends with the stop token of its last supervised reply. */
export interface RenderedSequence {
  /** [T] */
  readonly ids: Int32Array;
  /** [T], 1 where this token is to be predicted from those before it. Never at position 0. */
  readonly targets: Uint8Array;
  /** The messages (indices into the conversation) whose replies are supervised here. */
  readonly replies: readonly number[];
}

export interface RejectedReply {
  readonly message: number;
  /** A stable machine name. */
  readonly rule: "reply-too-long" | "reply-empty" | "reply-unasked";
  /** One sentence for people. */
  readonly reason: string;
}

export interface RenderedConversation {
  /** Usually one; more where the template rewrites earlier turns or the conversation is too long for one. */
  readonly sequences: readonly RenderedSequence[];
  /** Messages left out before a window of the conversation, summed over the sequences. */
  readonly droppedMessages: number;
  /** Sequences that lost their beginning to `maxTokens`. */
  readonly shortened: number;
  /** The template writes a turn differently once others follow, so every reply has its own sequence. */
  readonly perReply: boolean;
  readonly rejected: readonly RejectedReply[];
}

export interface RendererOptions {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Written between two turns as a token of its own; it joins the tokenizer when it is new. */
  readonly separator?: string;
  /** Exchanges at the beginning that stay when older turns must go; 0 by default. */
  readonly keepFirstTurns?: number;
  /** Further ids that end a generation, such as those of `generation_config.json`. */
  readonly stopIds?: readonly number[];
}

export interface ConversationRenderer {
  /** With the separator in it, where there is one. */
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** The separator made the vocabulary larger by a row, which the model's embedding may lack. */
  readonly vocabularyGrew: boolean;
  /** Generation ends at any of these: the token that ends a reply here, end of sequence, `stopIds`. */
  readonly stopIds: readonly number[];
  /** Exchanges at the beginning that stay when older turns must go, in training as in prompts. */
  readonly keepFirstTurns: number;
  /** SHA-256 over template, its settings, separator, special and stop tokens: training and serving must agree on it. */
  readonly fingerprint: string;
  /** The ids that a reply to `messages` goes on from; exactly the ids before that reply in training. */
  prompt(messages: readonly Message[]): number[];
  /** Sequences of at most `maxTokens` for every supervised reply. Throws a `UserError` when there is none. */
  training(messages: readonly Message[], maxTokens: number): RenderedConversation;
}

export function conversationRenderer(options: RendererOptions): ConversationRenderer {
  const { template, separator, keepFirstTurns = 0 } = options;
  const grown = separator === undefined ? undefined : options.tokenizer.withToken(separator);
  const tokenizer = grown?.tokenizer ?? options.tokenizer;
  const reader = turnReader(tokenizer, template, separator);
  const ends = [reader.stopId, tokenizer.eosId, ...(options.stopIds ?? [])];
  const stopIds = [...new Set(ends.filter((id) => id !== undefined))];

  /** Without the greeting that opens the conversation, where the template refuses one. */
  const shownTo = (messages: readonly Message[]): readonly Message[] => {
    if (reader.allowsOpening) return messages;
    const asked = messages.findIndex(({ role }) => role !== "system" && role !== "assistant");
    return asked < 0 ? messages : kept(messages, asked);
  };

  const training = (conversation: readonly Message[], maxTokens: number): RenderedConversation => {
    const messages = shownTo(conversation);
    const opening = conversation.length - messages.length;
    if (opening === 0) return trainingOf(messages, maxTokens);
    const first = leadingSystem(conversation);
    const unasked = [...conversation.keys()]
      .slice(first, first + opening)
      .filter((message) => conversation[message]!.supervised !== false)
      .map((message): RejectedReply => ({ message, rule: "reply-unasked", reason: unaskedReason }));
    const back = (message: number): number => (message < first ? message : message + opening);
    const rendered = trainingOf(messages, maxTokens);
    return {
      ...rendered,
      sequences: rendered.sequences.map((one) => ({ ...one, replies: one.replies.map(back) })),
      droppedMessages: rendered.droppedMessages + opening * rendered.sequences.length,
      rejected: [...unasked, ...rendered.rejected.map((one) => ({ ...one, message: back(one.message) }))],
    };
  };

  const trainingOf = (messages: readonly Message[], maxTokens: number): RenderedConversation => {
    const { replies, rejected } = supervisedReplies(messages);
    const end = replies.at(-1);
    if (end === undefined) return { ...nothing, rejected };
    const whole = sequence(tokenizer, reader.open(messages), end, replies);
    const windows = windowsOf(messages, keepFirstTurns, (start, last, wanted, pinned) => {
      const shown = start === 0 ? messages : [...messages.slice(0, pinned), ...messages.slice(start)];
      const shift = messages.length - shown.length;
      const conversation = reader.open(shown.slice(0, last - shift + 1));
      return sequence(
        tokenizer,
        conversation,
        last - shift,
        wanted.map((reply) => reply - shift),
      );
    });
    if (whole !== undefined && whole.ids.length <= maxTokens) {
      return { ...nothing, sequences: [{ ...whole, replies }], rejected };
    }
    const parts = whole === undefined ? replies.map((reply) => [reply]) : [replies];
    const results = parts.map((part) => windows(part, maxTokens));
    return {
      sequences: results.flatMap((result) => result.sequences),
      droppedMessages: results.reduce((sum, result) => sum + result.droppedMessages, 0),
      shortened: results.reduce((sum, result) => sum + result.shortened, 0),
      perReply: whole === undefined,
      rejected: [...rejected, ...results.flatMap((result) => result.rejected)],
    };
  };

  return {
    tokenizer,
    template,
    vocabularyGrew: grown?.isNew ?? false,
    stopIds,
    keepFirstTurns,
    fingerprint: fingerprint(tokenizer, template, separator, stopIds, keepFirstTurns),
    prompt: (conversationSoFar) => {
      const messages = shownTo(conversationSoFar);
      const conversation = reader.open(messages);
      const text = conversation.prompt(messages.length);
      const cuts = replyStarts(conversation, text, messages.length);
      const { text: plainText, plain, cuts: moved } = conversation.unmark(text, cuts);
      return tokenizer.encodeSegments(plainText, moved, { plain }).ids;
    },
    training,
  };
}

const unaskedReason = "the chat template allows no reply before the first question";

const nothing: RenderedConversation = {
  sequences: [],
  droppedMessages: 0,
  shortened: 0,
  perReply: false,
  rejected: [],
};

function supervisedReplies(messages: readonly Message[]): { replies: number[]; rejected: RejectedReply[] } {
  const wanted = [...messages.keys()].filter(
    (index) => messages[index]!.role === "assistant" && messages[index]!.supervised !== false,
  );
  if (wanted.length === 0) {
    throw new UserError(
      "the conversation has no reply to learn: none of its messages is a supervised assistant message",
      {
        next: 'Add a reply ("response", or a message with the role "assistant").',
      },
    );
  }
  const replies = wanted.filter((index) => messages[index]!.content.trim() !== "");
  const rejected = wanted
    .filter((index) => messages[index]!.content.trim() === "")
    .map((message): RejectedReply => ({ message, rule: "reply-empty", reason: "the reply is empty" }));
  return { replies, rejected };
}

/**
 * The conversation up to and with the reply at `end`, with `replies` as targets; `undefined` when the template
 * writes one of them differently here than as the last turn.
 */
function sequence(
  tokenizer: Tokenizer,
  conversation: MarkedConversation,
  end: number,
  replies: readonly number[],
): RenderedSequence | undefined {
  // The only target is the last turn: what the template writes for it needs no comparing.
  const whole =
    replies.length === 1 && replies[0] === end ? conversation.reply(end).text : conversation.text(end + 1);
  const starts = new Set(replyStarts(conversation, whole, end + 1));
  const spans: { start: number; end: number; stopId: number }[] = [];
  for (const index of replies) {
    const reply = conversation.reply(index);
    if (!whole.startsWith(reply.text.slice(0, reply.end))) return undefined;
    spans.push(reply);
    starts.add(reply.start).add(reply.end);
  }
  const length = spans.at(-1)!.end;
  const cuts = [...starts].filter((cut) => cut <= length).sort((a, b) => a - b);
  const { text, plain, cuts: moved } = conversation.unmark(whole.slice(0, length), cuts);
  const encoded = tokenizer.encodeSegments(text, moved, { plain });
  const targets = new Uint8Array(encoded.ids.length);
  for (const span of spans) {
    const from = encoded.cuts[cuts.indexOf(span.start)]!;
    const to = encoded.cuts[cuts.indexOf(span.end)]!;
    if (from === 0 || encoded.ids[to - 1] !== span.stopId) {
      throw new UserError(
        "the chat template and the loss mask disagree: a reply does not end with its stop token",
        {
          next: "Give a template that ends every assistant message with one special token.",
        },
      );
    }
    targets.fill(1, from, to);
  }
  return { ids: Int32Array.from(encoded.ids), targets, replies };
}

/**
 * Where replies start in `text`. A token border is kept there even in history, so that a reply is read as it
 * was written: after its prompt, not merged into it.
 */
function replyStarts(conversation: MarkedConversation, text: string, count: number): number[] {
  const starts: number[] = [];
  for (let index = 0; index < count; index++) {
    if (conversation.messages[index]?.role !== "assistant") continue;
    const prompt = conversation.prompt(index);
    if (text.startsWith(prompt)) starts.push(prompt.length);
  }
  return starts;
}

type RenderWindow = (
  start: number,
  end: number,
  replies: readonly number[],
  pinned: number,
) => RenderedSequence | undefined;
type Windows = (replies: readonly number[], maxTokens: number) => Omit<RenderedConversation, "perReply">;

/**
 * Cuts what is too long into windows from the last reply back: whole oldest turns go, system messages, the first
 * `keepFirst` exchanges and the last turn stay, and replies that fell off the front get a window of their own.
 * Nothing is cut inside a message.
 */
function windowsOf(messages: readonly Message[], keepFirst: number, render: RenderWindow): Windows {
  const system = leadingSystem(messages);
  const wanted = pinnedMessages(messages, keepFirst);
  /** The longest window that ends with the reply at `end`; maybe still too long. */
  const windowAt = (end: number, pinned: number, replies: readonly number[], maxTokens: number): Window => {
    const starts = turnStarts(messages, pinned, end);
    const rendered = (at: number): RenderedSequence => {
      const start = starts[at]!;
      const shown = replies.filter((reply) => reply >= start || start === pinned);
      const result = render(start === pinned ? 0 : start, end, shown, pinned);
      if (result === undefined) throw unstable();
      return { ...result, replies: shown };
    };
    // Fewer turns are fewer tokens, so the earliest start that fits is found by halving.
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rendered(middle).ids.length <= maxTokens) high = middle;
      else low = middle + 1;
    }
    return { sequence: rendered(low), dropped: starts[low]! - pinned };
  };
  return (replies, maxTokens) => {
    const sequences: RenderedSequence[] = [];
    const rejected: RejectedReply[] = [];
    let droppedMessages = 0;
    let shortened = 0;
    let left = replies;
    while (left.length > 0) {
      const end = left.at(-1)!;
      let window = windowAt(end, Math.min(wanted, end), left, maxTokens);
      // A last turn that has no room beside the first ones is worth more than they are.
      if (window.sequence.ids.length > maxTokens && wanted > system)
        window = windowAt(end, system, left, maxTokens);
      const { sequence: shown, dropped } = window;
      if (shown.ids.length > maxTokens) {
        rejected.push(tooLong(end, shown.ids.length, maxTokens));
        left = left.slice(0, -1);
        continue;
      }
      sequences.unshift(shown);
      droppedMessages += dropped;
      if (dropped > 0) shortened += 1;
      const learned = new Set(shown.replies);
      left = left.filter((reply) => !learned.has(reply));
    }
    return { sequences, droppedMessages, shortened, rejected };
  };
}

interface Window {
  readonly sequence: RenderedSequence;
  /** Messages left out. */
  readonly dropped: number;
}

/** System messages and the rest from `start` on. */
function kept(messages: readonly Message[], start: number): readonly Message[] {
  return [...messages.slice(0, leadingSystem(messages)), ...messages.slice(start)];
}

/** Where what follows the pinned messages may begin in a window that ends with the reply at `end`: nothing left out, then at each user's turn. */
function turnStarts(messages: readonly Message[], pinned: number, end: number): readonly number[] {
  const starts = [pinned];
  for (let index = pinned + 1; index < end; index++) if (isTurnStart(messages, index)) starts.push(index);
  return starts;
}

function tooLong(message: number, tokens: number, maxTokens: number): RejectedReply {
  return {
    message,
    rule: "reply-too-long",
    reason:
      `the reply with its own question has ${formatCount(tokens)} tokens; the maximum is ${formatCount(maxTokens)}, ` +
      "and cutting it would teach the model to stop in mid-sentence or not at all",
  };
}

function unstable(): UserError {
  return new UserError("the chat template writes a reply differently when earlier turns are left out", {
    next: "Raise the maximum length so that no turn has to go.",
  });
}

function fingerprint(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  separator: string | undefined,
  stopIds: readonly number[],
  keepFirstTurns: number,
): string {
  const parts = {
    template: template.source,
    settings: template.settings,
    separator: separator ?? null,
    special: tokenizer.specialTokens.map((token) => [token.id, token.content]),
    stop: stopIds.toSorted((a, b) => a - b),
    bos: tokenizer.bosId ?? null,
    eos: tokenizer.eosId ?? null,
    ...(keepFirstTurns === 0 ? {} : { keepFirstTurns }),
  };
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}
