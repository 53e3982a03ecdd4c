/** A few held-out customers whose replies are shown at every evaluation, so that one sees the model change. */
import type { ModelSpec, ResidentModel, Sequence } from "../model/decoder/index.ts";
import {
  type GenerationEngine,
  type GenerationMemory,
  generateReplies,
  generationEngine,
  generationMemory,
  greedy,
} from "../model/generate/index.ts";
import type { ConversationRenderer, Example } from "../model/text/index.ts";
import type { Adapter } from "../model/weights/index.ts";
import type { ProbeReply } from "../train/index.ts";
import { random } from "../util/index.ts";
import { canGenerate } from "./numerics.ts";
import type { TrainConfig } from "./schema.ts";

/** A prompt and what the data answer to it. */
export interface ProbePrompt {
  readonly ids: readonly number[];
  /** The customer's last message. */
  readonly prompt: string;
  readonly reference: string;
}

/** Tokens of a sample reply. */
const replyTokens = 64;

/** `count` held-out conversations of different dialogues, picked by the seed; those longer than `limit` tokens are passed over. */
export function probePrompts(
  examples: readonly Example[],
  renderer: Pick<ConversationRenderer, "prompt">,
  { count, seed, limit }: { readonly count: number; readonly seed: number; readonly limit: number },
): readonly ProbePrompt[] {
  const prompts: ProbePrompt[] = [];
  const seen = new Set<string>();
  for (const { dialogueId, messages } of random(seed, "probes").shuffle(examples)) {
    if (prompts.length >= count) break;
    if (seen.has(dialogueId)) continue;
    const last = messages.findLastIndex(
      ({ role, supervised }) => role === "assistant" && supervised !== false,
    );
    const asked = messages.slice(0, Math.max(0, last)).findLast(({ role }) => role === "user");
    if (asked === undefined) continue;
    seen.add(dialogueId);
    const ids = renderer.prompt(messages.slice(0, last));
    if (ids.length + replyTokens > limit) continue;
    prompts.push({ ids, prompt: asked.content, reference: messages[last]!.content });
  }
  return prompts;
}

/**
 * What they take in memory, and keep: prompts count as long as the longest held-out sequence, which none is longer than.
 * `undefined` where there are none.
 */
export function replyMemory(
  config: TrainConfig,
  spec: ModelSpec,
  heldOut: readonly Sequence[],
): GenerationMemory | undefined {
  const { probes } = config.evaluation;
  if (probes === 0 || heldOut.length === 0 || !canGenerate(config)) return undefined;
  const promptTokens = heldOut.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const slots = Math.min(probes, heldOut.length);
  return generationMemory(spec, { slots, promptTokens, capacity: promptTokens + replyTokens });
}

export interface Probe extends AsyncDisposable {
  /** Greedy replies of the base with `adapter`. */
  replies(adapter: Adapter, signal?: AbortSignal): Promise<readonly ProbeReply[]>;
}

/** Compiles and takes memory when it is first asked. */
export function replyProbe(
  model: ResidentModel,
  renderer: ConversationRenderer,
  prompts: readonly ProbePrompt[],
): Probe {
  let engine: GenerationEngine | undefined;
  const capacity = Math.max(0, ...prompts.map(({ ids }) => ids.length)) + replyTokens;
  return {
    replies: async (adapter, signal) => {
      engine ??= await generationEngine(model, { slots: prompts.length, capacity });
      await engine.useAdapter(adapter);
      const texts = new Map<number, string>();
      const requests = prompts.map(({ ids }, key) => ({ key, ids }));
      const options = { ...greedy, maxNewTokens: replyTokens, stopStrings: [], seed: 0 };
      for await (const event of generateReplies(engine, renderer, requests, options, signal))
        if (event.type === "reply") texts.set(event.key, event.text);
      // What replaced weights of the base is as large as they are: it does not stay until the next evaluation.
      if (adapter.replaced !== undefined) await engine.useAdapter(undefined);
      return prompts.map(({ prompt, reference }, key) => ({
        prompt,
        reply: texts.get(key) ?? "",
        reference,
      }));
    },
    [Symbol.asyncDispose]: async () => engine?.[Symbol.asyncDispose](),
  };
}
