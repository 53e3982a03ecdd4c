/** Ten dialogues out of predictions of any size: evenly spread from the run's worst reply to its best, so that none is hand-picked. */
import { z } from "zod";
import { readBoundedLines } from "../../util/index.ts";
import { sentenceChrf } from "../metrics/index.ts";
import type { Dialogues, DialogueShown } from "./types.ts";

const longestLine = 4_000_000;
/** Prompts that are scored; more would not change what ten of them show. */
const mostScored = 20_000;
const mostSystems = 8;
const mostMessages = 12;

const text = z.string();
const recordSchema = z.object({
  id: text.min(1).max(300),
  system: text.min(1).max(200),
  prediction: text,
  reference: text.optional(),
  context: z.array(z.object({ role: text.max(40), content: text })).max(5000),
  intent: text.max(300).optional(),
  depth: z.number().optional(),
  seen: z.boolean().optional(),
  stopped_by: text.max(60).optional(),
});
type Prediction = z.output<typeof recordSchema>;

interface Pass {
  read: number;
  unreadable: number;
  firstUnreadable?: number;
}

/**
 * Scores the replies of `leading` (or of the first system in the file) in one pass, and takes up what all systems said
 * to the chosen prompts in a second. Memory is bounded however large the file is.
 */
export async function readDialogues(
  path: string,
  leading: string | undefined,
  count = 10,
): Promise<Dialogues> {
  const scores = new Map<string, number>();
  const pass: Pass = { read: 0, unreadable: 0 };
  let system = leading;
  for await (const record of predictions(path, pass)) {
    system ??= record.system;
    if (record.system !== system || scores.has(record.id)) continue;
    scores.set(record.id, scoreOf(record));
    if (scores.size === mostScored) break;
  }
  const ranked = [...scores].sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));
  const chosen = new Map(
    spreadOver(ranked, count).map(([id, score]) => [
      id,
      { score, shown: undefined as DialogueShown | undefined },
    ]),
  );
  const told: Pass = { read: 0, unreadable: 0 };
  let missing = chosen.size * mostSystems;
  for await (const record of predictions(path, told)) {
    const place = chosen.get(record.id);
    if (place === undefined) continue;
    place.shown = withReply(place.shown ?? dialogueOf(record, place.score), record);
    missing -= 1;
    if (missing <= 0) break;
  }
  return {
    shown: [...chosen.values()].flatMap(({ shown }) => shown ?? []).sort((a, b) => b.score - a.score),
    among: scores.size,
    unreadable: Math.max(pass.unreadable, told.unreadable),
    ...(told.firstUnreadable === undefined ? {} : { firstUnreadable: told.firstUnreadable }),
  };
}

async function* predictions(path: string, pass: Pass): AsyncGenerator<Prediction> {
  for await (const { line, text, torn } of readBoundedLines(path, longestLine)) {
    pass.read += 1;
    const record = text === undefined ? undefined : parsed(text);
    if (record !== undefined) yield record;
    else if (!torn) {
      pass.unreadable += 1;
      pass.firstUnreadable ??= line;
    }
  }
}

function parsed(text: string): Prediction | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const scoreOf = ({ prediction, reference = "" }: Prediction): number =>
  reference === "" ? 0 : sentenceChrf(prediction.slice(0, 2000), [reference.slice(0, 2000)]).score;

/** Lowest and highest included. */
function spreadOver<T>(ranked: readonly T[], count: number): readonly T[] {
  if (ranked.length <= count) return ranked;
  return Array.from(
    { length: count },
    (_, i) => ranked[Math.round((i * (ranked.length - 1)) / (count - 1))]!,
  );
}

function dialogueOf(record: Prediction, score: number): DialogueShown {
  const { id, intent, depth, seen, reference, context } = record;
  const earlier = Math.max(0, context.length - mostMessages);
  return {
    id,
    ...(intent === undefined ? {} : { intent }),
    ...(depth === undefined ? {} : { depth }),
    ...(seen === undefined ? {} : { seen }),
    context: context.slice(earlier).map(({ role, content }) => ({ role, content: cutText(content) })),
    earlier,
    ...(reference === undefined ? {} : { reference: cutText(reference) }),
    replies: [],
    score,
  };
}

function withReply(
  shown: DialogueShown,
  { system, prediction, stopped_by: stoppedBy }: Prediction,
): DialogueShown {
  const known = shown.replies.some((reply) => reply.system === system);
  if (known || shown.replies.length === mostSystems) return shown;
  const reply = { system, text: cutText(prediction), ...(stoppedBy === undefined ? {} : { stoppedBy }) };
  return { ...shown, replies: [...shown.replies, reply] };
}

const longestText = 1500;

/** A text that a reader still reads; what is left out is said in numbers. */
export function cutText(text: string): string {
  if (text.length <= longestText) return text;
  // Not through the middle of a surrogate pair.
  const end = /[\uD800-\uDBFF]$/.test(text.slice(0, longestText)) ? longestText - 1 : longestText;
  return `${text.slice(0, end)} … [+${text.length - end}]`;
}
