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
  readonly records: Records<PredictionRecord>;
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

/** Batched greedy generation with key-value caches; prompts of one length stand together, so that slots end together. */
export async function generateAll(
  engine: GenerationEngine,
  renderer: ConversationRenderer,
  items: readonly EvaluationItem[],
  options: ReplyOptions & { readonly maxPromptTokens: number },
  target: ReplyTarget,
  signal?: AbortSignal,
): Promise<void> {
  const warmUp = items[0] && fittedPrompt(renderer, items[0].context, options.maxPromptTokens);
  if (warmUp !== undefined) {
    const { best } = await engine.prefill(0, warmUp.ids, false, signal);
    if (warmUp.ids.length < engine.capacity) await engine.decode([{ slot: 0, token: best }], false, signal);
  }
  let last = performance.now();
  const lap = (): number => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
  const dropped = new Map<EvaluationItem, number>();
  const tooLong: EvaluationItem[] = [];
  function* requests(): Generator<ReplyRequest<EvaluationItem>> {
    for (const item of items) {
      const prompt = fittedPrompt(renderer, item.context, options.maxPromptTokens);
      if (prompt === undefined) {
        tooLong.push(item);
        continue;
      }
      dropped.set(item, prompt.dropped);
      yield { key: item, ids: prompt.ids };
    }
  }
  for await (const event of generateReplies(engine, renderer, requests(), options, signal)) {
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
