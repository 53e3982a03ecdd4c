/** The README.md beside the embedded dialogues: what they are, how they were made, how many there are. */
import { DIALOGUE_DIRT, ROW_DIRT } from "./dirt.ts";
import { type ShopDialogue, toRows } from "./teashop-dialogues.ts";

const DIRT_MEANING: Readonly<Record<string, string>> = {
  "personal-data":
    "an e-mail address, phone, card, passport or identity number in a customer turn (all invented)",
  insult: "insulting words in a customer turn",
  html: "stray tags and entities",
  "full-width": "full-width letters and digits in a customer turn",
  boilerplate: "the same notice below every reply",
  "invisible-characters": "zero-width and control characters",
  "short-reply": "a reply of one or two characters or a bare word",
  "long-reply": "a reply of more than 1,000 characters that repeats itself",
  "exact-duplicate": "a dialogue copied under another id",
  "near-duplicate": "a dialogue copied with small changes under another id",
  "json-syntax": "a line that is not JSON",
  "missing-response": "a row without `response`",
  "wrong-type": "a field of the wrong type",
  "empty-turn": "a turn without text",
  "empty-response": "a reply without text",
  "role-order": "two turns of one side in a row, or a context that ends with the assistant",
  "unknown-role": "a role that nobody knows",
};

export function writeReadme(
  files: ReadonlyMap<string, string>,
  clean: readonly ShopDialogue[],
  train: readonly ShopDialogue[],
  validation: readonly ShopDialogue[],
): string {
  const rowsOf = (dialogues: readonly ShopDialogue[]): number => dialogues.flatMap(toRows).length;
  const rawDialogues = clean.length + Object.values(DIALOGUE_DIRT).reduce((sum, count) => sum + count, 0);
  const copies = DIALOGUE_DIRT["exact-duplicate"] + DIALOGUE_DIRT["near-duplicate"];
  const rawLines = files.get("dialogues.jsonl")!.trimEnd().split("\n").length;
  const dirtLines = Object.entries(JSON.parse(files.get("dirt.json")!) as Record<string, readonly number[]>);
  const intents = [...new Set(clean.map(({ intent }) => intent))].sort();
  const count = (intent: string, language: string): number =>
    clean.filter((dialogue) => dialogue.intent === intent && dialogue.language === language).length;
  const long = clean.filter(({ messages }) => messages.length > 10).length;
  return `# The quick start's dialogues

Customer-service dialogues of Lantern Lane (灯巷茶铺), a shop that does not exist: tea, tea ware and small kitchen goods.
People, orders, numbers and addresses are invented. Licence: Apache-2.0, as the project.

All files but shop.json are written by \`npx tsx scripts/quickstart/generate-dialogues.ts\`, which always writes the same bytes.
The sentences stand in \`scripts/quickstart/phrases/teashop.{en,zh}.txt\`, the facts in shop.json.

| file | what | dialogues | lines |
|---|---|---|---|
| dialogues.jsonl | the raw export, with the dirt that real data has | ${rawDialogues} (${copies} of them copies) and ${Object.values(ROW_DIRT).reduce((sum, n) => sum + n, 0)} broken lines | ${rawLines} |
| train.jsonl | clean, for training | ${train.length} | ${rowsOf(train)} |
| validation.jsonl | clean, other dialogues | ${validation.length} | ${rowsOf(validation)} |
| dirt.json | which lines (from 1) of dialogues.jsonl carry which dirt | | |
| shop.json | the shop's goods, prices, policies, and how they hang together | | |

One line is one reply with its history: \`{"dialogue_id", "turn", "context": [{"role", "content"}…], "response", "intent"}\`.
A clean dialogue has 2 to 9 customer turns; ${long} of ${clean.length} have more than 5. Facts that a customer states early (name, city,
order number, item) are asked for again late. No two clean dialogues share more than half of their four-character pieces.

## Clean dialogues by intent and language

| intent | English | Chinese |
|---|---|---|
${intents.map((intent) => `| ${intent} | ${count(intent, "en")} | ${count(intent, "zh")} |`).join("\n")}

## Dirt in dialogues.jsonl

| kind | lines | what |
|---|---|---|
${dirtLines.map(([kind, lines]) => `| ${kind} | ${lines.length} | ${DIRT_MEANING[kind] ?? ""} |`).join("\n")}

And one intent, order_status, makes up more than 30 % of the dialogues.
`;
}
