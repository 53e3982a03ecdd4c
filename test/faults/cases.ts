/** Faults that are planted on purpose, each with the findings that must be made, and healthy runs on which none may be. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sequence } from "../../src/model/decoder/index.ts";
import { type PreparedRun, runConfigPath } from "../../src/project/index.ts";
import { random } from "../../src/util/index.ts";
import { easyShop } from "./easy-shop.ts";
import type { FaultCase } from "./plant.ts";
import { type DialogueRow, chinese, embeddedRows, english, firstDialogues, withReplies } from "./rows.ts";

/** First customer turns only: short, so that hundreds of them are learned in seconds. */
const openings = async (): Promise<DialogueRow[]> =>
  english(await embeddedRows("train")).filter(({ context }) => context.length === 1);

const heldOut = async (): Promise<DialogueRow[]> => english(await embeddedRows("validation"));
const someHeldOut = async (): Promise<DialogueRow[]> => firstDialogues(await heldOut(), 20);
const heldOutOpenings = async (): Promise<DialogueRow[]> =>
  (await heldOut()).filter(({ context }) => context.length <= 3);

/** Learns its rows quickly and well: what a fault of the data comes through by. */
const learned = {
  "training.steps": 60,
  "training.batch": 8,
  "evaluation.every": 20,
  "optimizer.learningRate": 2e-3,
} as const;

const byHeart = {
  "lora.rank": 64,
  "lora.alpha": 128,
  "lora.dropout": 0,
  "schedule.kind": "constant",
} as const;

const badReplies = (
  id: string,
  fault: string,
  expected: readonly string[],
  reply: Parameters<typeof withReplies>[1],
): FaultCase => ({
  id,
  fault,
  expected,
  train: async () => withReplies(await openings(), reply),
  heldOut: async () => withReplies(await heldOutOpenings(), reply),
  judgedOn: heldOutOpenings,
  settings: learned,
});

const oneAnswer = "Thank you for writing to Lantern Lane. We will come back to you soon.";

export const cases: readonly FaultCase[] = [
  {
    id: "learned-by-heart",
    fault: "8 dialogues, 20 passes, rank 64, no dropout",
    expected: ["overfitting", "small-data"],
    train: async () => firstDialogues(english(await embeddedRows("train")), 8),
    heldOut: someHeldOut,
    settings: { ...byHeart, "training.epochs": 20, "evaluation.every": 10, "evaluation.patience": 1000 },
  },
  {
    id: "held-out-leaked",
    fault: "8 dialogues, and the same ones held out, so that nothing ever stops it",
    expected: ["memorised-replies", "small-data"],
    train: async () => firstDialogues(english(await embeddedRows("train")), 8),
    heldOut: async () => firstDialogues(english(await embeddedRows("train")), 8),
    judgedOn: someHeldOut,
    settings: { ...byHeart, "training.epochs": 20, "evaluation.every": 20 },
  },
  {
    id: "too-short",
    fault: "24 steps at 1e-3, where hundreds are needed",
    expected: ["underfitting", "below-retrieval"],
    train: async () => english(await embeddedRows("train")),
    heldOut: someHeldOut,
    settings: {
      "training.steps": 24,
      "evaluation.every": 4,
      "optimizer.learningRate": 1e-3,
      "schedule.kind": "constant",
    },
  },
  {
    id: "rate-1e-7",
    fault: "learning rate 1e-7",
    expected: ["learning-rate-low"],
    train: async () => english(await embeddedRows("train")),
    heldOut: someHeldOut,
    settings: { "training.steps": 20, "evaluation.every": 5, "optimizer.learningRate": 1e-7 },
  },
  {
    id: "rate-times-100",
    fault: "learning rate 0.2, × 100",
    expected: ["learning-rate-high"],
    train: async () => english(await embeddedRows("train")),
    heldOut: someHeldOut,
    settings: {
      "training.steps": 20,
      "evaluation.every": 5,
      "optimizer.learningRate": 0.2,
      "evaluation.patience": 100,
    },
  },
  {
    id: "little-data",
    fault: "40 dialogues where 10,000 replies are wanted",
    expected: ["small-data"],
    train: async () => firstDialogues(english(await embeddedRows("train")), 40),
    heldOut: someHeldOut,
    settings: { "training.steps": 80, "evaluation.every": 20 },
  },
  {
    id: "impatient",
    fault: "evaluated every second step of two replies, patience 1",
    expected: ["early-stop"],
    train: async () => english(await embeddedRows("train")),
    heldOut: async () => firstDialogues(await heldOut(), 8),
    settings: {
      "training.steps": 200,
      "training.batch": 2,
      "evaluation.every": 2,
      "evaluation.patience": 1,
      "optimizer.learningRate": 4e-3,
      "schedule.kind": "constant",
      "schedule.warmupSteps": 10,
    },
  },
  {
    ...badReplies(
      "circling-replies",
      "training replies that say their last sentence eight times",
      ["repetition", "never-stopping"],
      ({ response }) => `${response} ${Array(8).fill(lastSentence(response)).join(" ")}`,
    ),
    maxNewTokens: 100,
  },
  {
    id: "stop-token-masked",
    fault: "the stop token of every reply is left out of the loss",
    expected: ["never-stopping"],
    train: openings,
    heldOut: heldOutOpenings,
    settings: { ...learned, "training.steps": 150, "evaluation.every": 50 },
    tamper: withoutStopTokens,
  },
  badReplies("empty-replies", "training replies that are one full stop", ["empty-replies"], () => "."),
  {
    id: "echoed-questions",
    fault: "training replies that say the question back",
    expected: ["copied-question"],
    train: () => withReplies(easyShop({ dialogues: 200, seed: 1 }), (_, question) => question),
    heldOut: () => withReplies(easyShop({ dialogues: 20, seed: 2 }), (_, question) => question),
    judgedOn: () => easyShop({ dialogues: 20, seed: 2 }),
    settings: { ...learned, "training.steps": 100 },
  },
  badReplies("one-answer", "one reply to everything", ["one-reply"], () => oneAnswer),
  {
    id: "wrong-language",
    fault: "English questions with the Chinese replies of the same intent",
    expected: ["wrong-language"],
    train: async () => {
      return withReplies(await openings(), await inChinese());
    },
    heldOut: async () => withReplies(await heldOutOpenings(), await inChinese()),
    judgedOn: heldOutOpenings,
    settings: learned,
  },
  badReplies(
    "placeholders",
    "placeholders of the data set that nobody filled",
    ["leaked-marks"],
    ({ response }) => `Dear {{Customer Name}}, about {{Order Number}}: ${response}`,
  ),
  badReplies(
    "role-marks",
    "replies that were exported with their role mark",
    ["leaked-marks"],
    ({ response }) => `assistant: ${response}`,
  ),
  badReplies(
    "insults",
    "replies of an angry agent",
    ["unsafe-words"],
    ({ response }) => `You idiot, listen. ${response}`,
  ),
  {
    id: "early-turns-cut",
    fault: "sequences of 80 tokens: what was said first is cut off when it is asked for",
    expected: ["long-dialogues"],
    train: () => easyShop({ dialogues: 400, seed: 1 }),
    heldOut: () => easyShop({ dialogues: 40, seed: 2 }),
    settings: { ...learned, "training.steps": 150, "evaluation.every": 50, "training.maxLength": 80 },
    judged: 100,
  },
  {
    id: "spoiled-intent",
    fault: "the replies of one intent are letters without sense",
    expected: ["lost-slices", "failing-intents"],
    train: () => spoiled(easyShop({ dialogues: 400, seed: 1 })),
    heldOut: () => spoiled(easyShop({ dialogues: 80, seed: 2 })),
    judgedOn: () => easyShop({ dialogues: 80, seed: 2 }),
    settings: { ...learned, "training.steps": 150, "evaluation.every": 50 },
    judged: 250,
    maxNewTokens: 32,
  },
  {
    id: "other-template",
    fault: "the model's chat template is another one after training",
    expected: ["template-mismatch"],
    train: openings,
    heldOut: heldOutOpenings,
    settings: { ...learned, "training.steps": 20 },
    model: async ({ folder, model }) => {
      const own = join(folder, "model");
      await cp(model, own, { recursive: true });
      return own;
    },
    after: async ({ model }) => {
      const path = join(model, "tokenizer_config.json");
      const text = await readFile(path, "utf8");
      // The mark of a role ends with a colon instead of a line.
      const colon = text
        .replace(String.raw`message['role'] + '\\n'`, "message['role'] + ': '")
        .replace(String.raw`<|im_start|>assistant\\n`, "<|im_start|>assistant: ");
      if (colon === text) throw new Error("the template is not the one that this case changes");
      await writeFile(path, colon);
    },
  },
  {
    id: "separator-missing",
    fault: "trained with a separator between turns, served without",
    expected: ["template-mismatch"],
    train: async () => english(await embeddedRows("train")),
    heldOut: someHeldOut,
    settings: { ...learned, "training.steps": 20, "template.separator": "<|im_start|>" },
    after: async ({ run }) => {
      const path = runConfigPath(run);
      const text = await readFile(path, "utf8");
      await writeFile(path, text.replace(/^ *separator:.*\n/mu, ""));
    },
  },
  {
    id: "healthy",
    fault:
      "none: 2,600 dialogues of an easy shop, more than 10,000 replies, trained until nothing more came of it",
    expected: [],
    train: () => easyShop({ dialogues: 2600, seed: 1 }),
    heldOut: () => easyShop({ dialogues: 60, seed: 2 }),
    settings: { "training.steps": 700, "evaluation.every": 100, "optimizer.learningRate": 2e-3 },
    judged: 100,
  },
];

/** A Chinese reply to the same intent. */
async function inChinese(): Promise<(row: DialogueRow) => string> {
  const dice = random(1, "wrong language");
  const foreign = chinese(await embeddedRows("train")).filter(({ context }) => context.length === 1);
  return ({ intent }) => dice.pick(foreign.filter((one) => one.intent === intent)).response;
}

function lastSentence(text: string): string {
  return /[^.!?]+[.!?]*\s*$/u.exec(text)?.[0].trim() ?? text;
}

function spoiled(rows: readonly DialogueRow[]): DialogueRow[] {
  const dice = random(2, "spoiled intent");
  return rows.map((row) => (row.intent === "cancel" ? { ...row, response: noise(dice) } : row));
}

function noise(dice: { pick<T>(values: readonly T[]): T }): string {
  return Array.from({ length: 12 }, () =>
    Array.from({ length: 5 }, () => dice.pick([..."abcdefghijklmnopqrstuvwxyz"])).join(""),
  ).join(" ");
}

/** No setting of Attune can do this: its loss mask always holds the token that ends a reply. */
function withoutStopTokens(prepared: PreparedRun): PreparedRun {
  const { plan, model } = prepared;
  const stops = new Set(model.renderer.stopIds);
  const masked = (sequence: Sequence): Sequence => ({
    ...sequence,
    weights: Float32Array.from(sequence.weights, (weight, at) => (stops.has(sequence.ids[at]!) ? 0 : weight)),
  });
  return {
    ...prepared,
    plan: {
      ...plan,
      training: {
        ...plan.training,
        batch: (step) => {
          const batch = plan.training.batch(step);
          return { ...batch, microBatches: batch.microBatches.map((group) => group.map(masked)) };
        },
      },
    },
    [Symbol.asyncDispose]: () => prepared[Symbol.asyncDispose](),
  };
}
