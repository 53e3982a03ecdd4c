/** Reads a phrase book (a plain text file of templates) and expands its templates with slots and alternatives. */
import { readFileSync } from "node:fs";
import type { Random } from "../../src/util/index.ts";

/*
 * The format, one template a line:
 *
 *   @ack                  a named list: `{ack}` in a template picks one of its lines
 *   * of course.
 *   = order_status id w=3 a flow: its intent, then flags (`id`: the customer must identify the order; `w=`: weight;
 *                         `item=SLOT`: what the order is about; `late`: the parcel is overdue)
 *   ? where is my parcel  an opening of the customer (before the first `-`)
 *   ! it left yesterday   the reply to the opening, once the order is known
 *   - 0.7 needs=name     a follow-up exchange with its probability, where that fact was said; then its `?` and `!` lines
 *   # comment
 *
 * In a template `{slot}` is filled from the dialogue's facts and `[a|b|]` picks one alternative (they nest).
 */

export interface Exchange {
  readonly chance: number;
  /** Facts that must have been said before in the dialogue for this exchange to make sense. */
  readonly needs: readonly string[];
  readonly user: readonly string[];
  readonly reply: readonly string[];
}

export interface Flow {
  readonly intent: string;
  readonly identifies: boolean;
  readonly weight: number;
  /** The product slot that the order is about (`item=ware`); absent: any product. */
  readonly item: string | undefined;
  /** The parcel is overdue. */
  readonly late: boolean;
  readonly openings: readonly string[];
  readonly answers: readonly string[];
  readonly steps: readonly Exchange[];
}

export interface PhraseBook {
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly flows: readonly Flow[];
}

export type Slots = Readonly<Record<string, string>>;

interface OpenExchange {
  chance: number;
  needs: string[];
  user: string[];
  reply: string[];
}

interface OpenFlow {
  intent: string;
  identifies: boolean;
  weight: number;
  item: string | undefined;
  late: boolean;
  openings: string[];
  answers: string[];
  steps: OpenExchange[];
}

/** Reads the phrase book at `path`. A malformed line is an error with its place. */
export function readPhraseBook(path: string): PhraseBook {
  return parsePhraseBook(readFileSync(path, "utf8"), path);
}

export function parsePhraseBook(text: string, path: string): PhraseBook {
  const lists = new Map<string, string[]>();
  const flows: OpenFlow[] = [];
  let list: string[] | undefined;
  let flow: OpenFlow | undefined;
  let step: OpenExchange | undefined;
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const rest = line.slice(1).trim();
    const problem = (what: string): Error => new Error(`${path}:${index + 1}: ${what}: ${line}`);
    switch (line[0]) {
      case "@":
        list = lists.get(rest) ?? [];
        lists.set(rest, list);
        flow = step = undefined;
        break;
      case "*":
        if (list === undefined) throw problem("a list line outside a list");
        list.push(rest);
        break;
      case "=":
        flow = openFlow(rest);
        flows.push(flow);
        list = step = undefined;
        break;
      case "-":
        if (flow === undefined) throw problem("a step outside a flow");
        step = openStep(rest);
        flow.steps.push(step);
        break;
      case "?":
      case "!":
        if (flow === undefined) throw problem("a line outside a flow");
        if (step === undefined) (line[0] === "?" ? flow.openings : flow.answers).push(rest);
        else (line[0] === "?" ? step.user : step.reply).push(rest);
        break;
      default:
        throw problem("an unknown mark");
    }
  }
  return { lists, flows };
}

function openFlow(header: string): OpenFlow {
  const [intent = "", ...flags] = header.split(/\s+/);
  const weight = flags.find((flag) => flag.startsWith("w="))?.slice(2) ?? "1";
  return {
    intent,
    identifies: flags.includes("id"),
    weight: Number(weight),
    item: flags.find((flag) => flag.startsWith("item="))?.slice(5),
    late: flags.includes("late"),
    openings: [],
    answers: [],
    steps: [],
  };
}

function openStep(header: string): OpenExchange {
  const [chance = "1", ...flags] = header.split(/\s+/);
  const needs = flags.filter((flag) => flag.startsWith("needs=")).map((flag) => flag.slice(6));
  return { chance: Number(chance), needs, user: [], reply: [] };
}

/** Fills one template: alternatives, then lists, then facts. An unknown slot is an error. */
export function expand(template: string, book: PhraseBook, slots: Slots, rng: Random): string {
  let text = template;
  for (let round = 0; /[[{]/.test(text); round++) {
    if (round > 40) throw new Error(`the template never ends: ${template}`);
    text = text.replace(/\[([^[\]]*)\]/g, (_, body: string) => rng.pick(body.split("|")));
    text = text.replace(/\{(\w+)\}/g, (_, name: string) => {
      const list = book.lists.get(name);
      if (list !== undefined) return rng.pick(list);
      const fact = slots[name];
      if (fact === undefined) throw new Error(`no slot "${name}" for the template: ${template}`);
      return fact.replaceAll("[", "(").replaceAll("]", ")");
    });
  }
  return tidy(text);
}

/** Repairs what optional parts leave behind: doubled blanks and stops, blanks before stops, lower-case sentence starts. */
function tidy(text: string): string {
  const compact = text
    .replace(/\s+/g, " ")
    .replace(/ ([,.;:!?])/g, "$1")
    .replace(/,+(?=[,.;:!?])/g, "")
    .replace(/([.!?])[.,]+(?= |$)/g, "$1")
    .replace(/([。！？])[。，；]+/g, "$1")
    .replace(/，+(?=[，。！？；])/g, "")
    .replace(/([\p{Script=Han}，。！？；：]) (?=[\p{Script=Han}，。！？；：])/gu, "$1")
    .replace(/^[，。；、,. ]+/, "")
    .trim();
  if (/\p{Script=Han}/u.test(compact)) return compact;
  return compact.replace(
    /(^|[.!?] )([a-z])(?!\S*@)/g,
    (_, before: string, letter: string) => before + letter.toUpperCase(),
  );
}
