/** Draws the embedded shop's dialogues: no two alike, intents by share, half of them in each language. */
import { join } from "node:path";
import type { Message } from "../../src/model/text/index.ts";
import { type Random, random } from "../../src/util/index.ts";
import { type ComposeOptions, type Language, composeDialogue, drawFlow, mainFlows } from "./compose.ts";
import { type PhraseBook, readPhraseBook } from "./phrase-book.ts";
import { drawTeashopSlots, readShop } from "./teashop-world.ts";

export interface ShopDialogue {
  readonly id: string;
  readonly language: Language;
  readonly intent: string;
  readonly messages: readonly Message[];
}

export interface DialogueRow {
  readonly dialogue_id: string;
  readonly turn: number;
  readonly context: readonly Message[];
  readonly response: string;
  readonly intent: string;
}

/** How often an intent occurs; real traffic is lopsided too. */
const INTENT_SHARES: Readonly<Record<string, number>> = {
  order_status: 34,
  return_refund: 11,
  product_question: 11,
  delivery_change: 8,
  complaint: 7,
  payment_problem: 6,
  cancel_order: 6,
  loyalty_points: 5,
  opening_hours: 4,
  invoice: 4,
  warranty: 3,
  gift_wrapping: 3,
};

/** Above this share of common 4-character pieces two dialogues count as near-duplicates. */
const NEAR_DUPLICATE = 0.5;

const MIN_USER_TURNS = 2;

/** A stream of different dialogues; those drawn later never resemble those drawn before. */
export function dialogueSource(seed: number): (language: Language) => ShopDialogue {
  const shop = readShop();
  const rng = random(seed, "tea shop dialogues");
  const books = { en: readTeashopBook("en"), zh: readTeashopBook("zh") };
  const isNew = { en: noveltyFilter(), zh: noveltyFilter() };
  const rows = new Set<string>();
  let number = 0;
  return (language) => {
    for (let attempt = 0; attempt < 500; attempt++) {
      const { intent, messages } = draw(books[language], shop, language, rng);
      if (messages.length < 2 * MIN_USER_TURNS) continue;
      const keys = toRows({ id: "", language, intent, messages }).map((row) => JSON.stringify(row));
      if (keys.some((key) => rows.has(key))) continue;
      if (!isNew[language](piecesOf(messages))) continue;
      for (const key of keys) rows.add(key);
      number += 1;
      return { id: `ll-${language}-${String(number).padStart(4, "0")}`, language, intent, messages };
    }
    throw new Error(`the ${language} phrase book has no more dialogues that differ enough`);
  };
}

/** Tells whether a set of pieces is unlike all sets that were accepted before, and then remembers it. */
function noveltyFilter(): (pieces: ReadonlySet<string>) => boolean {
  const numbers = new Map<string, number>();
  const accepted: Uint32Array[] = [];
  return (pieces) => {
    for (const piece of pieces) if (!numbers.has(piece)) numbers.set(piece, numbers.size);
    const own = Uint32Array.from(pieces, (piece) => numbers.get(piece)!);
    const isOwn = new Uint8Array(numbers.size);
    for (const number of own) isOwn[number] = 1;
    for (const other of accepted) {
      let common = 0;
      for (const number of other) common += isOwn[number]!;
      if (common / (own.length + other.length - common) > NEAR_DUPLICATE) return false;
    }
    accepted.push(own);
    return true;
  };
}

function readTeashopBook(language: Language): PhraseBook {
  return readPhraseBook(join(import.meta.dirname, "phrases", `teashop.${language}.txt`));
}

function draw(
  book: PhraseBook,
  shop: ReturnType<typeof readShop>,
  language: Language,
  rng: Random,
): { readonly intent: string; readonly messages: readonly Message[] } {
  const flows = mainFlows(book);
  const intents = Object.entries(INTENT_SHARES).map(([intent, weight]) => ({
    intent,
    weight,
    flows: flows.filter((flow) => flow.intent === intent),
  }));
  const mark = rng.next() * intents.reduce((sum, { weight }) => sum + weight, 0);
  let below = 0;
  const { intent, flows: candidates } = intents.find(({ weight }) => (below += weight) > mark)!;
  const flow = drawFlow(candidates, rng);
  const isLong = rng.next() < 0.4;
  const options: ComposeOptions = {
    language,
    digressionChance: isLong ? 0.8 : 0.15,
    maxDigressions: isLong ? 3 : 1,
    recallChance: isLong ? 0.75 : 0.15,
    closeChance: isLong ? 0.7 : 0.45,
    casualChance: 0.12,
    leadChance: 0.3,
    greetingEnds: language === "en" ? ["! ", ". "] : ["，"],
    stacksQuestions: false,
    maxUserTurns: 9,
  };
  return {
    intent,
    messages: composeDialogue(book, flow, drawTeashopSlots(shop, flow, language, rng), options, rng),
  };
}

/** The native format: one row a reply, each with the whole history. */
export function toRows({ id, intent, messages }: ShopDialogue): readonly DialogueRow[] {
  return messages.flatMap(({ role, content }, index) =>
    role === "assistant"
      ? [
          {
            dialogue_id: id,
            turn: (index - 1) / 2,
            context: messages.slice(0, index),
            response: content,
            intent,
          },
        ]
      : [],
  );
}

/** The 4-character pieces of what is said, numbers aside: those differ even where nothing else does. */
export function piecesOf(messages: readonly Message[]): Set<string> {
  const text = messages.map(({ content }) => content.toLowerCase().replace(/\d/g, "")).join("\n");
  return new Set(Array.from({ length: Math.max(0, text.length - 3) }, (_, i) => text.slice(i, i + 4)));
}

/** Jaccard similarity. */
export function similarity(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let common = 0;
  for (const piece of a) if (b.has(piece)) common += 1;
  return common / (a.size + b.size - common);
}
