/** Replies to many prompts: slots are refilled as replies end, so that a batch never waits for its longest. */
import type { ConversationRenderer, StreamDecoder } from "../text/index.ts";
import { type Random, random } from "../../util/index.ts";
import type { GenerationEngine, NextToken } from "./engine.ts";
import { type SamplingOptions, isPlainGreedy, sample } from "./sampler.ts";
import { type StopFilter, stopFilter } from "./stop.ts";

export interface ReplyOptions extends SamplingOptions {
  readonly maxNewTokens: number;
  /** The reply ends before any of these texts. */
  readonly stopStrings: readonly string[];
  readonly seed: number;
}

export interface ReplyRequest<K> {
  /** Comes back with the reply. */
  readonly key: K;
  /** The prompt's tokens. */
  readonly ids: readonly number[];
}

export type StoppedBy = "stop token" | "stop string" | "length";

export type ReplyEvent<K> =
  | { readonly type: "text"; readonly key: K; readonly text: string }
  | {
      readonly type: "reply";
      readonly key: K;
      readonly text: string;
      /** Generated tokens, the stop token excluded. */
      readonly ids: readonly number[];
      readonly stoppedBy: StoppedBy;
      readonly promptTokens: number;
      /** Seconds from taking the request up to its first token. */
      readonly firstTokenSeconds: number;
      readonly seconds: number;
    };

interface Active<K> {
  readonly request: ReplyRequest<K>;
  readonly slot: number;
  readonly ids: number[];
  readonly seen: Set<number>;
  readonly dice: Random;
  readonly decoder: StreamDecoder;
  readonly filter: StopFilter;
  readonly began: number;
  firstTokenSeconds: number;
  text: string;
  next: number;
}

// Tokens of prompts, padding included, that are read in one pass; more at once gains no speed and takes memory.
const prefillTokens = 768;

/**
 * Replies in the order in which they end. A request draws its random numbers from the seed and its own position,
 * so a reply does not depend on what else is in the batch.
 */
export async function* generateReplies<K>(
  engine: GenerationEngine,
  renderer: Pick<ConversationRenderer, "tokenizer" | "stopIds">,
  requests: Iterable<ReplyRequest<K>> | AsyncIterable<ReplyRequest<K>>,
  options: ReplyOptions,
  signal?: AbortSignal,
): AsyncGenerator<ReplyEvent<K>> {
  const stopIds = new Set(renderer.stopIds);
  const wantLogits = !isPlainGreedy(options);
  const source = iterate(requests);
  const active = new Map<number, Active<K>>();
  let position = 0;
  let exhausted = false;
  let ahead: ReplyRequest<K> | undefined;

  const choose = (reply: Active<K>, next: NextToken): number =>
    next.logits === undefined ? next.best : sample(next.logits, reply.seen, options, reply.dice);

  /** Takes a chosen token in: new text to show, and why the reply ends if it does. */
  function accept(reply: Active<K>, token: number): { text: string; stoppedBy: StoppedBy | undefined } {
    if (stopIds.has(token))
      return {
        text: reply.filter.push(reply.decoder.end()).text + reply.filter.end(),
        stoppedBy: "stop token",
      };
    reply.ids.push(token);
    reply.seen.add(token);
    reply.next = token;
    const { text, stopped } = reply.filter.push(reply.decoder.push(token));
    if (stopped) return { text, stoppedBy: "stop string" };
    const full =
      reply.ids.length >= options.maxNewTokens ||
      reply.request.ids.length + reply.ids.length >= engine.capacity;
    if (!full) return { text, stoppedBy: undefined };
    const rest = reply.filter.push(reply.decoder.end());
    return { text: text + rest.text + (rest.stopped ? "" : reply.filter.end()), stoppedBy: "length" };
  }
  function* tell(reply: Active<K>, token: number): Generator<ReplyEvent<K>> {
    const { text, stoppedBy } = accept(reply, token);
    reply.text += text;
    if (text !== "") yield { type: "text", key: reply.request.key, text };
    if (stoppedBy === undefined) return;
    active.delete(reply.slot);
    engine.release(reply.slot);
    yield {
      type: "reply",
      key: reply.request.key,
      text: reply.text,
      ids: reply.ids,
      stoppedBy,
      promptTokens: reply.request.ids.length,
      firstTokenSeconds: reply.firstTokenSeconds,
      seconds: (performance.now() - reply.began) / 1000,
    };
  }

  /** Requests for free slots, as many as one pass reads well; the first that no longer fits waits in `ahead`. */
  async function take(): Promise<Active<K>[]> {
    const taken: Active<K>[] = [];
    let longest = 0;
    for (let slot = 0; slot < engine.slots && !exhausted; slot++) {
      if (active.has(slot)) continue;
      if (ahead === undefined) {
        const step = await source.next();
        exhausted = step.done === true;
        if (step.done === true) break;
        ahead = step.value;
      }
      longest = Math.max(longest, ahead.ids.length);
      if (taken.length > 0 && longest * (taken.length + 1) > prefillTokens) break;
      const request = ahead;
      ahead = undefined;
      taken.push({
        request,
        slot,
        ids: [],
        seen: new Set(request.ids),
        dice: random(options.seed, `reply ${position++}`),
        decoder: renderer.tokenizer.stream(),
        filter: stopFilter(options.stopStrings),
        began: performance.now(),
        firstTokenSeconds: 0,
        text: "",
        next: 0,
      });
    }
    return taken;
  }

  // A few slots are filled together, since one pass over the weights then serves several prompts.
  const together = Math.ceil(engine.slots / 8);
  for (;;) {
    while (engine.slots - active.size >= together || active.size === 0) {
      const taken = await take();
      if (taken.length === 0) break;
      const prompts = taken.map(({ slot, request }) => ({ slot, ids: request.ids }));
      const nexts = await engine.prefill(prompts, wantLogits, signal);
      for (const [i, reply] of taken.entries()) {
        reply.firstTokenSeconds = (performance.now() - reply.began) / 1000;
        active.set(reply.slot, reply);
        yield* tell(reply, choose(reply, nexts[i]!));
      }
    }
    if (active.size === 0) return;
    const replies = [...active.values()];
    const nexts = await engine.decode(
      replies.map(({ slot, next }) => ({ slot, token: next })),
      wantLogits,
      signal,
    );
    for (const [i, reply] of replies.entries()) yield* tell(reply, choose(reply, nexts[i]!));
  }
}

function iterate<T>(source: Iterable<T> | AsyncIterable<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
}
