/** Replies of one system to every item that still lacks one; each is on disk before the next is asked for. */
import {
  type GenerationEngine,
  type ReplyOptions,
  type ReplyRequest,
  generateReplies,
} from "../../model/generate/index.ts";
import type { ConversationRenderer } from "../../model/text/index.ts";
import type { Lookup } from "./baselines.ts";
import type { EvaluationItem } from "./items.ts";
import { fittedPrompt } from "./prompt.ts";
import type { Records } from "./records.ts";
import type { PredictionRecord } from "./types.ts";

export interface ReplyTarget {
  readonly records: Pick<Records<PredictionRecord>, "append">;
  readonly system: string;
  readonly fingerprintOf: (item: EvaluationItem) => string;
  readonly onReply: () => void;
}

type Outcome = Pick<
  PredictionRecord,
  "prediction" | "stopped_by" | "tokens" | "prompt_tokens" | "dropped_messages" | "elapsed_seconds"
>;

function record(
  item: EvaluationItem,
  { system, fingerprintOf }: ReplyTarget,
  outcome: Outcome,
): PredictionRecord {
  return {
    id: item.id,
    dialogue_id: item.dialogueId,
    context: item.context.map(({ role, content }) => ({ role, content })),
    reference: item.references[0]!,
    ...(item.references.length > 1 ? { references: item.references } : {}),
    ...(item.intent === undefined ? {} : { intent: item.intent }),
    system,
    ...outcome,
    depth: item.depth,
    seen: item.seen,
    fingerprint: fingerprintOf(item),
  };
}

export interface PreparedPrompts {
  /** The longest first: what needs the most memory comes at once, and slots that start together end together. */
  readonly prompts: readonly (ReplyRequest<EvaluationItem> & { readonly dropped: number })[];
  /** Items whose last turn alone has no room. */
  readonly tooLong: readonly EvaluationItem[];
  /** What rendering and tokenising took. */
  readonly seconds: number;
}

export function preparePrompts(
  renderer: Pick<ConversationRenderer, "prompt">,
  items: readonly EvaluationItem[],
  maxPromptTokens: number,
): PreparedPrompts {
  const start = performance.now();
  const prompts: { key: EvaluationItem; ids: readonly number[]; dropped: number }[] = [];
  const tooLong: EvaluationItem[] = [];
  for (const item of items) {
    const prompt = fittedPrompt(renderer, item.context, maxPromptTokens);
    if (prompt === undefined) tooLong.push(item);
    else prompts.push({ key: item, ...prompt });
  }
  prompts.sort((a, b) => b.ids.length - a.ids.length);
  return { prompts, tooLong, seconds: (performance.now() - start) / 1000 };
}

/** Batched greedy generation with key-value caches. The first step, which warms up, is not counted. */
export async function generateAll(
  engine: GenerationEngine,
  renderer: ConversationRenderer,
  { prompts, tooLong, seconds }: PreparedPrompts,
  options: ReplyOptions,
  target: ReplyTarget,
  signal?: AbortSignal,
): Promise<void> {
  const [first] = prompts;
  if (first !== undefined) {
    const [next] = await engine.prefill([{ slot: 0, ids: first.ids }], false, signal);
    if (first.ids.length < engine.capacity)
      await engine.decode([{ slot: 0, token: next!.best }], false, signal);
    engine.release(0);
  }
  const dropped = new Map(prompts.map((prompt) => [prompt.key, prompt.dropped]));
  let last = performance.now() - 1000 * seconds;
  const lap = (): number => {
    const now = performance.now();
    const passed = (now - last) / 1000;
    last = now;
    return passed;
  };
  for await (const event of generateReplies(engine, renderer, prompts, options, signal)) {
    if (event.type !== "reply") continue;
    await target.records.append(
      record(event.key, target, {
        prediction: event.text,
        stopped_by: event.stoppedBy,
        tokens: event.ids.length,
        prompt_tokens: event.promptTokens,
        dropped_messages: dropped.get(event.key) ?? 0,
        elapsed_seconds: lap(),
      }),
    );
    target.onReply();
  }
  for (const item of tooLong) {
    const outcome: Outcome = {
      prediction: "",
      stopped_by: "prompt too long",
      tokens: 0,
      prompt_tokens: 0,
      dropped_messages: 0,
      elapsed_seconds: 0,
    };
    await target.records.append(record(item, target, outcome));
    target.onReply();
  }
}

/** Replies that are looked up. */
export async function lookUpAll(
  lookup: Lookup,
  items: readonly EvaluationItem[],
  target: ReplyTarget,
): Promise<void> {
  for (const item of items) {
    const start = performance.now();
    const prediction = lookup(item.context);
    await target.records.append(
      record(item, target, {
        prediction,
        stopped_by: "lookup",
        tokens: 0,
        prompt_tokens: 0,
        dropped_messages: 0,
        elapsed_seconds: (performance.now() - start) / 1000,
      }),
    );
    target.onReply();
  }
}
