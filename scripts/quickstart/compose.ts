/** Composes one dialogue from a phrase book: identification, the main matter, follow-ups, digressions, recall, farewell. */
import type { Message } from "../../src/model/text/index.ts";
import type { Random } from "../../src/util/index.ts";
import { type Exchange, type Flow, type PhraseBook, type Slots, expand } from "./phrase-book.ts";

export type Language = "en" | "zh";

export interface ComposeOptions {
  readonly language: Language;
  /** Probability of each further digression, and the most there may be. */
  readonly digressionChance: number;
  readonly maxDigressions: number;
  readonly recallChance: number;
  readonly closeChance: number;
  /** Share of English customers who write carelessly: lower case, no full stop. */
  readonly casualChance: number;
  /** Probability that a follow-up question, and the reply to one, begins with a phrase of the lists `next` and `lead`. */
  readonly leadChance: number;
  /** What may stand between a greeting and the matter. */
  readonly greetingEnds: readonly string[];
  /** Whether "anything else?" may follow a reply that ends with a question itself. */
  readonly stacksQuestions: boolean;
  /** Customer turns that may not be exceeded. */
  readonly maxUserTurns: number;
}

const SERVICE_FLOWS = new Set(["digress", "recall", "close"]);

/** The flows that can be the subject of a dialogue. */
export function mainFlows(book: PhraseBook): readonly Flow[] {
  return book.flows.filter((flow) => !SERVICE_FLOWS.has(flow.intent));
}

/** Draws a flow by weight. */
export function drawFlow(flows: readonly Flow[], rng: Random): Flow {
  let mark = rng.next() * flows.reduce((sum, flow) => sum + flow.weight, 0);
  for (const flow of flows) {
    mark -= flow.weight;
    if (mark < 0) return flow;
  }
  return flows.at(-1)!;
}

/** Writes the dialogue: it starts with the customer, alternates, and ends with the assistant. */
export function composeDialogue(
  book: PhraseBook,
  flow: Flow,
  slots: Slots,
  options: ComposeOptions,
  rng: Random,
): readonly Message[] {
  const messages: Message[] = [];
  const casual = rng.next() < options.casualChance;
  const isSaid = (need: string): boolean => {
    const fact = slots[need];
    return (
      fact !== undefined && messages.some(({ content }) => content.toLowerCase().includes(fact.toLowerCase()))
    );
  };
  // Nobody is addressed by a name that was not yet said.
  const fill = (template: string): string =>
    expand(template, book, isSaid("name") ? slots : { ...slots, first: "", call: "" }, rng);
  const exchange = (user: string, reply: string): void => {
    const question = fill(user);
    messages.push({ role: "user", content: casual ? careless(question) : question });
    messages.push({ role: "assistant", content: fill(reply) });
  };
  open(flow, options, rng, exchange);
  for (const step of flow.steps.filter((step) => rng.next() < step.chance))
    playStep(step, options, rng, exchange);
  const room = (): number => options.maxUserTurns - messages.length / 2;
  const digressions = rng.shuffle(stepsOf(book, "digress"));
  for (const step of digressions.slice(0, options.maxDigressions)) {
    if (room() > 2 && rng.next() < options.digressionChance) playStep(step, options, rng, exchange);
  }
  if (flow.identifies && room() > 1 && rng.next() < options.recallChance) {
    const known = stepsOf(book, "recall").filter((step) => step.needs.every(isSaid));
    if (known.length > 0) playStep(rng.pick(known), options, rng, exchange);
  }
  if (rng.next() < options.closeChance) playStep(rng.pick(stepsOf(book, "close")), options, rng, exchange);
  return messages;
}

type PlayExchange = (user: string, reply: string) => void;

/** The first turns: some customers give the order number at once, some are asked for it, some also for their name. */
function open(flow: Flow, options: ComposeOptions, rng: Random, exchange: PlayExchange): void {
  const [join, stop] = options.language === "en" ? [", ", ". "] : ["，", "，"];
  const [onlyEnd, ...otherEnds] = options.greetingEnds;
  const end = otherEnds.length === 0 ? onlyEnd : rng.pick(options.greetingEnds);
  const greeting = rng.next() < 0.5 ? `{hello}${end}` : "";
  const opening = greeting + rng.pick(flow.openings);
  const reply = rng.pick(flow.answers);
  const offersMore = rng.next() < 0.25 && (options.stacksQuestions || !/[?？]/.test(reply));
  const answer = offersMore ? `${reply} {more}` : reply;
  if (!flow.identifies) {
    exchange(rng.next() < 0.3 ? `${opening}${stop}{myname}` : opening, answer);
    return;
  }
  const path = rng.next();
  if (path < 0.3) {
    exchange(`${opening}${stop}{ordernumber}${join}{myname}`, answer);
  } else if (path < 0.65) {
    exchange(rng.next() < 0.5 ? `${opening}${stop}{myname}` : opening, "{ack} {asknumber}");
    exchange(rng.next() < 0.6 ? "{ordernumber}" : `{ordernumber}${join}{myname}`, answer);
  } else {
    exchange(opening, "{ack} {askname}");
    exchange("{myname}", "{ack} {asknumber}");
    exchange("{ordernumber}", answer);
  }
}

function playStep(step: Exchange, options: ComposeOptions, rng: Random, exchange: PlayExchange): void {
  const [user, reply] = [rng.pick(step.user), rng.pick(step.reply)];
  if (options.leadChance === 0 || !/[?？]$/.test(user)) return exchange(user, reply);
  const lead = (list: string): string => (rng.next() < options.leadChance ? `{${list}} ` : "");
  exchange(lead("next") + user, lead("lead") + reply);
}

function stepsOf(book: PhraseBook, flow: string): readonly Exchange[] {
  return book.flows.filter(({ intent }) => intent === flow).flatMap(({ steps }) => steps);
}

/** How a hurried customer types; numbers with letters keep their case. */
function careless(text: string): string {
  const words = text.split(" ").map((word) => (/\d/.test(word) ? word : word.toLowerCase()));
  return words.join(" ").replace(/\.$/, "");
}
