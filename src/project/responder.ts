/** A model that answers: weights loaded, adapter in place, prompts fitted into the context window. */
import { onnxRuntime } from "../compute/runtime/index.ts";
import { loadResidentModel, parameterCount } from "../model/decoder/index.ts";
import {
  type GenerationEngine,
  type ReplyEvent,
  type ReplyOptions,
  type ReplyRequest,
  generateReplies,
  generationEngine,
} from "../model/generate/index.ts";
import {
  type ConversationRenderer,
  type Message,
  leadingSystem,
  pinnedMessages,
} from "../model/text/index.ts";
import { UserError, formatBytes, formatCount } from "../util/index.ts";
import { availableMemoryBytes } from "./machine.ts";
import type { ModelSource } from "./model-source.ts";

export interface ResponderOptions {
  /** Conversations answered at once. */
  readonly slots: number;
  /** Tokens a conversation may have, reply included; grows on demand up to the model's limit. */
  readonly capacity: number;
  readonly threads?: number;
  readonly onWeight?: (done: number, total: number) => void;
  /** Bytes that may be taken; asked of the system by default. */
  readonly availableBytes?: number;
}

export interface FittedPrompt {
  readonly ids: readonly number[];
  /** Messages that went, oldest first, so that the rest fits. */
  readonly dropped: number;
}

export interface Responder extends AsyncDisposable {
  readonly contextLength: number;
  /** The prompt of `messages` within the context window, `room` tokens left for the reply. */
  fit(messages: readonly Message[], room: number): FittedPrompt;
  reply<K>(
    requests: Iterable<ReplyRequest<K>> | AsyncIterable<ReplyRequest<K>>,
    options: ReplyOptions,
    /** Most tokens of any of these conversations, replies included. */
    longest: number,
    signal?: AbortSignal,
  ): AsyncGenerator<ReplyEvent<K>>;
}

export async function startResponder(source: ModelSource, options: ResponderOptions): Promise<Responder> {
  const { chat, adapter } = source;
  const { spec, renderer } = chat;
  refuseTooBig(source, options);
  const { slots, threads } = options;
  const runtime = await onnxRuntime(threads === undefined ? {} : { threads });
  try {
    const resident = await loadResidentModel(runtime, spec, chat.store, options.onWeight);
    let engine: GenerationEngine | undefined;
    // Every step passes over the whole cache, so that it is made no larger than the conversations need.
    const engineFor = async (longest: number): Promise<GenerationEngine> => {
      if (engine !== undefined && engine.capacity >= longest) return engine;
      await engine?.[Symbol.asyncDispose]();
      const capacity = Math.min(spec.contextLength, Math.max(longest, engine?.capacity ?? 0));
      engine = await generationEngine(resident, { slots, capacity });
      if (adapter !== undefined) await engine.useAdapter(adapter);
      return engine;
    };
    await engineFor(Math.min(options.capacity, spec.contextLength));
    return {
      contextLength: spec.contextLength,
      fit: (messages, room) => fitPrompt(renderer, messages, spec.contextLength - room),
      reply: async function* (requests, replyOptions, longest, signal) {
        yield* generateReplies(await engineFor(longest), renderer, requests, replyOptions, signal);
      },
      [Symbol.asyncDispose]: async () => {
        await engine?.[Symbol.asyncDispose]();
        await runtime[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await runtime[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Leaves out whole oldest turns until the prompt has at most `limit` tokens; system messages, the first turns that
 * the renderer keeps and the last turn stay. `at` is where they come from.
 */
export function fitPrompt(
  renderer: Pick<ConversationRenderer, "prompt"> & Partial<Pick<ConversationRenderer, "keepFirstTurns">>,
  messages: readonly Message[],
  limit: number,
  at?: string,
): FittedPrompt {
  const system = leadingSystem(messages);
  let needed = 0;
  // Where the last turn has no room beside the first ones, those go too.
  for (const pinned of new Set([pinnedMessages(messages, renderer.keepFirstTurns ?? 0), system])) {
    for (let start = pinned; start >= 0;) {
      const shown = start === pinned ? messages : [...messages.slice(0, pinned), ...messages.slice(start)];
      const ids = renderer.prompt(shown);
      if (ids.length <= limit) return { ids, dropped: start - pinned };
      needed = ids.length;
      start = messages.findIndex(({ role }, index) => index > start && role === "user");
    }
  }
  throw new UserError(
    `the last message alone needs ${formatCount(needed)} tokens of prompt; the model has room for ${formatCount(limit)}`,
    {
      next: "Shorten it, or allow fewer new tokens with --max-new-tokens.",
      ...(at === undefined ? {} : { at }),
    },
  );
}

/** Weights in float32, the caches, and what the runtime takes itself. */
function refuseTooBig({ chat, name }: ModelSource, options: ResponderOptions): void {
  const { spec } = chat;
  const available = options.availableBytes ?? availableMemoryBytes();
  const weights = 4 * parameterCount(spec);
  const cache = cacheBytes(spec, options.slots, Math.min(options.capacity, spec.contextLength));
  const needed = weights + cache + 300e6;
  if (needed <= available) return;
  throw new UserError(
    `${name} needs about ${formatBytes(needed)} of memory (weights ${formatBytes(weights)}, caches ${formatBytes(cache)}); ${formatBytes(available)} are free`,
    {
      next:
        weights + 300e6 > available
          ? "Take a smaller model, or close other programs."
          : "Answer fewer at once with --batch, or allow fewer new tokens.",
    },
  );
}

/** Keys and values of `slots` conversations of `capacity` tokens, float32. */
export function cacheBytes(
  spec: { readonly layers: number; readonly kvHeads: number; readonly headWidth: number },
  slots: number,
  capacity: number,
): number {
  return 2 * spec.layers * spec.kvHeads * spec.headWidth * 4 * slots * capacity;
}
