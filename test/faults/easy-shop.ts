/** Dialogues of an invented shop that a model of six million parameters can master within minutes: what a healthy run learns. */
import { type Random, random } from "../../src/util/index.ts";
import type { DialogueRow, Turn } from "./rows.ts";

const items = ["teapot", "cup", "kettle", "tray", "strainer", "spoon", "bowl", "lid"] as const;

const names = [
  "Laura",
  "Peter",
  "Susan",
  "Frank",
  "Anna",
  "David",
  "Helen",
  "Martin",
  "Julia",
  "Oscar",
] as const;

/** Questions and the one reply to them; `ITEM` is the thing it is about. */
const exchanges = {
  delivery: {
    questions: ["When will my ITEM arrive?", "How long does the ITEM take?", "Is my ITEM on its way?"],
    reply: "Your ITEM left our house this morning and will reach you within two working days.",
  },
  refund: {
    questions: [
      "I want my money back for the ITEM.",
      "Can I get a refund for the ITEM?",
      "Please refund the ITEM.",
    ],
    reply: "I am sorry to hear that. The money for the ITEM will be back on your account in five days.",
  },
  address: {
    questions: [
      "I moved, please change my address.",
      "Can you send the ITEM to another address?",
      "My address is wrong.",
    ],
    reply: "Of course. Please tell me the new street and the town, and I will change it.",
  },
  invoice: {
    questions: ["Please send me the invoice.", "I need a bill for the ITEM.", "Where do I find my invoice?"],
    reply: "You will find the invoice in your mailbox in a few minutes, as a file to print.",
  },
  broken: {
    questions: ["The ITEM came broken.", "My ITEM is damaged.", "The ITEM has a crack."],
    reply: "I am so sorry. We send you a new ITEM today, and you need not return the old one.",
  },
  cancel: {
    questions: [
      "Please cancel the order of the ITEM.",
      "I do not want the ITEM any more.",
      "Can I still cancel?",
    ],
    reply: "Done, the order is cancelled. Nothing will be taken from your account.",
  },
  opening: {
    questions: ["When are you open?", "What are your opening hours?", "Are you open on Sunday?"],
    reply: "We are open from Monday to Friday, nine to six, and on Saturday until noon.",
  },
  payment: {
    questions: ["Can I pay the ITEM by card?", "Which payments do you take?", "Do you accept bank transfer?"],
    reply: "You can pay by card, by bank transfer, or when the parcel arrives.",
  },
} as const;

type Intent = keyof typeof exchanges;
const intents = Object.keys(exchanges) as Intent[];

/** `dialogues` of two to six customer turns, a row a reply; the customer's name, said first, is asked for at the end. */
export function easyShop({
  dialogues,
  seed,
}: {
  readonly dialogues: number;
  readonly seed: number;
}): DialogueRow[] {
  const dice = random(seed, "easy shop");
  return Array.from({ length: dialogues }, (_, i) => dialogue(`easy-${seed}-${i}`, dice)).flat();
}

function dialogue(dialogue_id: string, dice: Random): DialogueRow[] {
  const name = dice.pick(names);
  const rows: DialogueRow[] = [];
  let context: Turn[] = [];
  const say = (question: string, response: string, intent: string): void => {
    context = [...context, { role: "user", content: question }];
    rows.push({ dialogue_id, context, response, intent });
    context = [...context, { role: "assistant", content: response }];
  };
  say(`Hello, my name is ${name}.`, `Good morning, ${name}. What can I do for you today?`, "greeting");
  for (const intent of dice.shuffle(intents).slice(0, dice.integer(5))) {
    const item = dice.pick(items);
    const { questions, reply } = exchanges[intent];
    const question = dice.pick<string>(questions);
    // What the question does not name the reply cannot either.
    const named = question.includes("ITEM") || !reply.includes("ITEM");
    const asked = named ? question : questions[0];
    say(asked.replaceAll("ITEM", item), reply.replaceAll("ITEM", item), intent);
  }
  say("That is all, goodbye.", `Goodbye, ${name}, and thank you for asking us.`, "farewell");
  return rows;
}
