/** The generated part of the pre-training corpus: customer-service dialogues of many shops, never of the embedded one. */
import { join } from "node:path";
import type { Message } from "../../src/model/text/index.ts";
import { type Random, random } from "../../src/util/index.ts";
import { type ComposeOptions, type Language, composeDialogue, drawFlow, mainFlows } from "./compose.ts";
import { drawGenericSlots } from "./generic-world.ts";
import { type Slots, readPhraseBook } from "./phrase-book.ts";

const SEED = 7_001;

/** Yields `count` dialogues in `language`, the same ones on every machine. */
export function* genericDialogues(language: Language, count: number): Generator<readonly Message[]> {
  const book = readPhraseBook(join(import.meta.dirname, "phrases", `generic.${language}.txt`));
  const flows = mainFlows(book);
  const rng = random(SEED, `generic ${language}`);
  const options: ComposeOptions = {
    language,
    digressionChance: 0.4,
    maxDigressions: 3,
    recallChance: 0.4,
    closeChance: 0.7,
    casualChance: 0.5,
    leadChance: 0,
    greetingEnds: [language === "en" ? ", " : "，"],
    stacksQuestions: true,
    maxUserTurns: 9,
  };
  for (let i = 0; i < count; i++) {
    const slots = drawGenericSlots(language, rng);
    const messages = composeDialogue(book, drawFlow(flows, rng), slots, options, rng);
    yield rng.next() < 0.4
      ? [{ role: "system", content: briefing(language, slots, rng) }, ...messages]
      : messages;
  }
}

/** A system message that names the shop and some of its facts, so that the model learns to look there. */
function briefing(language: Language, slots: Slots, rng: Random): string {
  const { shop = "" } = slots;
  if (language === "en") {
    const facts = [
      `Returns: ${slots["returnDays"]} days.`,
      `Refund: ${slots["refundDays"]} working days.`,
      `Shipping: ${slots["fee"]}, free from ${slots["freeOver"]}.`,
      `Delivery: ${slots["deliveryDays"]} working days.`,
      `Open: ${slots["hours"]}, Saturday ${slots["weekend"]}.`,
      `Phone: ${slots["phone"]}.`,
      `Mail: ${slots["mail"]}`,
      `Carrier: ${slots["carrier"]}.`,
      `The ${slots["product"]} costs ${slots["price"]}.`,
      `The ${slots["product2"]} costs ${slots["price2"]}.`,
    ];
    const role = rng.pick([
      `You are the assistant of ${shop}.`,
      `You work in customer service for ${shop}. Be polite and brief.`,
      `Customer service of ${shop}.`,
    ]);
    return [role, ...rng.shuffle(facts).slice(0, rng.integer(8))].join("\n");
  }
  const facts = [
    `退货期限：${slots["returnDays"]}天。`,
    `退款时间：${slots["refundDays"]}个工作日。`,
    `运费：${slots["fee"]}，满${slots["freeOver"]}包邮。`,
    `配送时间：${slots["deliveryDays"]}个工作日。`,
    `营业时间：${slots["hours"]}，周六${slots["weekend"]}。`,
    `电话：${slots["phone"]}。`,
    `邮箱：${slots["mail"]}`,
    `快递：${slots["carrier"]}。`,
    `${slots["product"]}的价格是${slots["price"]}。`,
    `${slots["product2"]}的价格是${slots["price2"]}。`,
  ];
  const role = rng.pick([
    `你是${shop}的客服助手。`,
    `你在${shop}做客服，请礼貌、简短地回答。`,
    `${shop}客服。`,
  ]);
  return [role, ...rng.shuffle(facts).slice(0, rng.integer(8))].join("\n");
}
