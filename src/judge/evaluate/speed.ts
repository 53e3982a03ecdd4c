/** How fast a system answers one user: time to first token by prompt length, prefill and decode rates, one reply at a time. */
import type { Message, ConversationRenderer } from "../../model/text/index.ts";
import { type GenerationEngine, type ReplyOptions, generateReplies } from "../../model/generate/index.ts";
import { fittedPrompt } from "./prompt.ts";

export interface SpeedFigures {
  /** Template, tokenising and reading the prompt, up to the first token; ms. */
  readonly ttftMsP50: number;
  readonly ttftMsP95: number;
  readonly ttftByPrompt: readonly {
    /** Tokens, such as "65–128". */
    readonly prompt: string;
    readonly prompts: number;
    readonly p50Ms: number;
    readonly p95Ms: number;
  }[];
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  /** One reply at a time, from conversation to last token. */
  readonly repliesPerSecondAlone: number;
  readonly measuredPrompts: number;
  readonly measuredReplies: number;
}

export interface SpeedOptions {
  /** Prompts whose first token is timed; spread evenly over the conversations given. */
  readonly prompts: number;
  /** Whole replies that are timed. */
  readonly replies: number;
  readonly maxPromptTokens: number;
  /** No further prompt is begun after this many seconds; at least three are timed. */
  readonly seconds: number;
}

const edges = [64, 128, 256, 512, 1024, 2048, 4096] as const;

/** `engine` needs one slot. The first two prompts, and a decoding step after each, warm up and are not counted. */
export async function measureSpeed(
  engine: GenerationEngine,
  renderer: ConversationRenderer,
  conversations: readonly (readonly Message[])[],
  reply: ReplyOptions,
  options: SpeedOptions,
  signal?: AbortSignal,
): Promise<SpeedFigures | undefined> {
  const began = performance.now();
  const spent = (): number => (performance.now() - began) / 1000;
  const chosen = spread(conversations, options.prompts + warmUps);
  for (const messages of chosen.slice(0, warmUps)) {
    const prompt = fittedPrompt(renderer, messages, options.maxPromptTokens);
    if (prompt === undefined) continue;
    const [next] = await engine.prefill([{ slot: 0, ids: prompt.ids }], false, signal);
    if (prompt.ids.length < engine.capacity)
      await engine.decode([{ slot: 0, token: next!.best }], false, signal);
    engine.release(0);
  }
  const timed: { tokens: number; ms: number; prefillMs: number }[] = [];
  // Where there are no others, those that warmed up are timed the second time.
  for (const messages of chosen.length > warmUps ? chosen.slice(warmUps) : chosen) {
    if (timed.length >= 3 && spent() > options.seconds / 2) break;
    const start = performance.now();
    const prompt = fittedPrompt(renderer, messages, options.maxPromptTokens);
    if (prompt === undefined) continue;
    const tokenised = performance.now();
    await engine.prefill([{ slot: 0, ids: prompt.ids }], false, signal);
    const end = performance.now();
    timed.push({ tokens: prompt.ids.length, ms: end - start, prefillMs: end - tokenised });
    engine.release(0);
  }
  if (timed.length === 0) return undefined;
  let [replies, replySeconds, decoded, decodeSeconds] = [0, 0, 0, 0];
  for (const messages of spread(conversations, options.replies)) {
    if (replies >= 3 && spent() > options.seconds) break;
    const start = performance.now();
    const prompt = fittedPrompt(renderer, messages, options.maxPromptTokens);
    if (prompt === undefined) continue;
    for await (const event of generateReplies(
      engine,
      renderer,
      [{ key: 0, ids: prompt.ids }],
      reply,
      signal,
    )) {
      if (event.type !== "reply") continue;
      replies += 1;
      replySeconds += (performance.now() - start) / 1000;
      // The first token is the prompt's; each further one, the stop token too, is a decoding step.
      decoded += event.ids.length - (event.stoppedBy === "stop token" ? 0 : 1);
      decodeSeconds += event.seconds - event.firstTokenSeconds;
    }
  }
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const all = timed.map(({ ms }) => ms);
  return {
    ttftMsP50: quantile(all, 0.5),
    ttftMsP95: quantile(all, 0.95),
    ttftByPrompt: byPrompt(timed),
    prefillTokensPerSecond:
      (1000 * sum(timed.map(({ tokens }) => tokens))) / sum(timed.map(({ prefillMs }) => prefillMs)),
    decodeTokensPerSecond: decodeSeconds === 0 ? 0 : decoded / decodeSeconds,
    repliesPerSecondAlone: replySeconds === 0 ? 0 : replies / replySeconds,
    measuredPrompts: timed.length,
    measuredReplies: replies,
  };
}

const warmUps = 2;

function byPrompt(
  timed: readonly { readonly tokens: number; readonly ms: number }[],
): SpeedFigures["ttftByPrompt"] {
  return [...edges, Number.POSITIVE_INFINITY].flatMap((to, i) => {
    const from = i === 0 ? 0 : edges[i - 1]!;
    const inside = timed.filter(({ tokens }) => tokens > from && tokens <= to).map(({ ms }) => ms);
    if (inside.length === 0) return [];
    const prompt = to === Number.POSITIVE_INFINITY ? `${from + 1}+` : `${from + 1}–${to}`;
    return [{ prompt, prompts: inside.length, p50Ms: quantile(inside, 0.5), p95Ms: quantile(inside, 0.95) }];
  });
}

/** Evenly spaced, first and last included. */
export function spread<T>(items: readonly T[], count: number): readonly T[] {
  if (items.length <= count) return items;
  if (count === 1) return items.slice(0, 1);
  return Array.from({ length: count }, (_, i) => items[Math.round((i * (items.length - 1)) / (count - 1))]!);
}

/** Linear interpolation between order statistics, as NumPy's default. `values` is not empty. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * ((sorted[low + 1] ?? sorted[low]!) - sorted[low]!);
}
