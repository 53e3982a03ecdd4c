/** Perplexity: losses of each item's reference under teacher forcing, and of plain text that has nothing to do with the task. */
import { encodeExamples, foldRows } from "../../data/feed/index.ts";
import type { ConversationRenderer, Example, Tokenizer } from "../../model/text/index.ts";
import type { EvaluationItem } from "./items.ts";
import type { TokenLossMeter } from "./token-losses.ts";

export interface ItemLoss {
  /** Σ −log p of the reply's tokens and its stop token. */
  readonly nats: number;
  readonly tokens: number;
}

/**
 * Tells the loss of each item that fits `maxTokens`, by its index; items of one conversation are read once. `onItem` is
 * called after each stretch of whole conversations, so that a caller can make them durable.
 */
export async function measureItemLosses(
  meter: TokenLossMeter,
  renderer: ConversationRenderer,
  items: readonly EvaluationItem[],
  maxTokens: number,
  onItem: (item: number, loss: ItemLoss) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  for (const stretch of stretches(items)) {
    const examples = stretch.map((index): Example => exampleOf(items[index]!));
    let rows: ReturnType<typeof encodeExamples>["rows"];
    try {
      ({ rows } = encodeExamples(examples, renderer, maxTokens));
    } catch {
      // Nothing of this stretch can be read; its items stay without a loss, which the figures count.
      continue;
    }
    const { sequences } = foldRows(rows);
    const sums = rows.map(() => ({ nats: 0, tokens: 0 }));
    await meter.measure(
      sequences,
      (sequence, token, nats) => {
        for (const row of sequences[sequence]!.rows) {
          if (rows[row]!.targets[token] !== 1) continue;
          sums[row]!.nats += nats;
          sums[row]!.tokens += 1;
        }
      },
      signal,
    );
    const byItem = new Map<number, ItemLoss>();
    for (const [row, { nats, tokens }] of sums.entries()) {
      const item = stretch[rows[row]!.example]!;
      const before = byItem.get(item) ?? { nats: 0, tokens: 0 };
      byItem.set(item, { nats: before.nats + nats, tokens: before.tokens + tokens });
    }
    for (const [item, loss] of byItem) await onItem(item, loss);
  }
}

const stretchItems = 64;

/** Indices in groups of about 64 that keep a conversation together. */
function stretches(items: readonly EvaluationItem[]): number[][] {
  const dialogues = new Map<string, number[]>();
  for (const [index, { dialogueId }] of items.entries()) {
    const known = dialogues.get(dialogueId);
    if (known === undefined) dialogues.set(dialogueId, [index]);
    else known.push(index);
  }
  const groups: number[][] = [];
  for (const indices of dialogues.values()) {
    const last = groups.at(-1);
    if (last === undefined || last.length >= stretchItems) groups.push([...indices]);
    else last.push(...indices);
  }
  return groups;
}

function exampleOf({ dialogueId, context, references }: EvaluationItem): Example {
  const history = context.map(({ role, content }) => ({ role, content, supervised: false }));
  return { dialogueId, messages: [...history, { role: "assistant", content: references[0]! }] };
}

const windowTokens = 512;

/** Loss of plain text without a chat template, in windows of at most 512 tokens, the first token of each given. */
export async function measureText(
  meter: TokenLossMeter,
  tokenizer: Tokenizer,
  texts: readonly string[],
  contextLength: number,
  signal?: AbortSignal,
): Promise<ItemLoss> {
  const most = Math.min(windowTokens, contextLength);
  const sequences = texts.flatMap((text) => {
    const ids = tokenizer.encode(text);
    const windows: number[][] = [];
    for (let from = 0; from + 1 < ids.length; from += most - 1) {
      const part = ids.slice(from, from + most - (tokenizer.addsBos ? 1 : 0));
      windows.push(tokenizer.addsBos ? [tokenizer.bosId!, ...part] : part);
    }
    return windows.filter((window) => window.length > 1);
  });
  let [nats, tokens] = [0, 0];
  const fed = sequences.map((ids) => ({
    ids: Int32Array.from(ids),
    weights: Float32Array.from(ids, (_, t) => (t === 0 ? 0 : 1)),
    replies: 1,
    rows: [],
  }));
  const add = (_: number, __: number, loss: number): void => {
    nats += loss;
    tokens += 1;
  };
  await meter.measure(fed, add, signal);
  return { nats, tokens };
}
