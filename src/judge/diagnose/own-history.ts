/** Dialogues that the model carries on by itself: each reply follows its own earlier replies, as in service. */
import { type Runtime, onnxRuntime } from "../../compute/runtime/index.ts";
import { loadResidentModel } from "../../model/decoder/index.ts";
import { generateReplies, generationEngine, greedy } from "../../model/generate/index.ts";
import { loadAdapter } from "../../model/weights/index.ts";
import type { Message } from "../../model/text/index.ts";
import {
  type EvaluationItem,
  type ModelSystem,
  type PredictionRecord,
  fittedPrompt,
  openSystem,
} from "../evaluate/index.ts";
import type { OwnHistoryReply } from "./types.ts";

export interface OwnHistoryOptions {
  readonly system: ModelSystem;
  /** The replies of the data; the deepest of a dialogue holds the whole of it. */
  readonly items: readonly EvaluationItem[];
  /** Replies on the data's history that are there already. */
  readonly known: readonly PredictionRecord[];
  readonly dialogues: number;
  readonly turns: number;
  readonly maxNewTokens: number;
  readonly maxTokens: number;
  readonly batch: number;
  readonly threads?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

interface Dialogue {
  readonly item: EvaluationItem;
  /** Where its replies stand. */
  readonly replies: readonly number[];
  readonly messages: readonly Message[];
  readonly own: Message[];
}

/** Nothing where no dialogue has three turns. Replies by dialogue, then by depth. */
export async function ownHistory(options: OwnHistoryOptions): Promise<readonly OwnHistoryReply[]> {
  const dialogues = chosenDialogues(options);
  if (dialogues.length === 0) return [];
  const { system, signal } = options;
  const model = await openSystem(system);
  try {
    await using runtime: Runtime = await onnxRuntime(
      options.threads === undefined ? {} : { threads: options.threads },
    );
    const resident = await loadResidentModel(runtime, model.spec, model.store);
    const most = Math.min(options.maxTokens, model.spec.contextLength);
    const maxNewTokens = Math.min(options.maxNewTokens, Math.floor(most / 2));
    await using engine = await generationEngine(resident, {
      slots: Math.min(options.batch, 2 * dialogues.length),
      capacity: most,
    });
    if (system.adapter !== undefined) await engine.useAdapter(await loadAdapter(system.adapter, model.store));
    const known = new Map(options.known.map(({ id, prediction }) => [id, prediction]));
    const results: OwnHistoryReply[] = [];
    const total = dialogues.reduce((sum, { replies }) => sum + replies.length, 0);
    const rounds = Math.max(...dialogues.map(({ replies }) => replies.length));
    for (let round = 0; round < rounds; round++) {
      const requests: { key: { dialogue: Dialogue; own: boolean }; ids: readonly number[] }[] = [];
      for (const dialogue of dialogues) {
        const at = dialogue.replies[round];
        if (at === undefined) continue;
        const from = round === 0 ? 0 : dialogue.replies[round - 1]! + 1;
        dialogue.own.push(...dialogue.messages.slice(from, at));
        const onOwn = fittedPrompt(model.renderer, dialogue.own, most - maxNewTokens);
        if (onOwn !== undefined) requests.push({ key: { dialogue, own: true }, ids: onOwn.ids });
        const there = round === 0 || known.has(replyId(dialogue, round));
        const onReference = there
          ? undefined
          : fittedPrompt(model.renderer, dialogue.messages.slice(0, at), most - maxNewTokens);
        if (onReference !== undefined) requests.push({ key: { dialogue, own: false }, ids: onReference.ids });
      }
      const said = new Map<Dialogue, { own: string; reference?: string }>();
      const reply = { ...greedy, maxNewTokens, stopStrings: [], seed: 0 };
      for await (const event of generateReplies(engine, model.renderer, requests, reply, signal)) {
        if (event.type !== "reply") continue;
        const { dialogue, own } = event.key;
        const before = said.get(dialogue) ?? { own: "" };
        said.set(dialogue, own ? { ...before, own: event.text } : { ...before, reference: event.text });
      }
      for (const [dialogue, { own, reference }] of said) {
        // On the first turn there is no history to differ in.
        const onReference = round === 0 ? own : (reference ?? known.get(replyId(dialogue, round)));
        const { item, messages, replies } = dialogue;
        results.push({
          id: `${item.dialogueId}#${round + 1}`,
          depth: round + 1,
          reference: messages[replies[round]!]!.content,
          prediction: own,
          said: dialogue.own.filter(({ role }) => role === "user").map(({ content }) => content),
          ...(onReference === undefined ? {} : { onReference }),
        });
        dialogue.own.push({ role: "assistant", content: own });
      }
      options.onProgress?.(results.length, total);
    }
    return results;
  } finally {
    await model.close();
  }
}

const replyId = ({ item }: Dialogue, round: number): string => `${item.dialogueId}#${round + 1}`;

/** The dialogues with most turns, at least three; a model that fails does so there. */
function chosenDialogues({ items, dialogues, turns }: OwnHistoryOptions): Dialogue[] {
  const deepest = new Map<string, EvaluationItem>();
  for (const item of items) {
    const known = deepest.get(item.dialogueId);
    if (known === undefined || item.context.length > known.context.length) deepest.set(item.dialogueId, item);
  }
  return [...deepest.values()]
    .filter(({ depth }) => depth >= 3)
    .sort((a, b) => b.depth - a.depth || (a.dialogueId < b.dialogueId ? -1 : 1))
    .slice(0, dialogues)
    .map((item) => {
      const messages: Message[] = [...item.context, { role: "assistant", content: item.references[0]! }];
      const replies = [...messages.keys()]
        .filter((at) => messages[at]!.role === "assistant" && at > 0)
        .slice(0, turns);
      return { item, messages, replies, own: [] };
    });
}
