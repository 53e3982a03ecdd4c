/** The conversations that the embedded model is pre-trained on, source by source, in a fixed order. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import yauzl from "yauzl";
import type { Message } from "../../src/model/text/index.ts";
import { type Random, UserError, random } from "../../src/util/index.ts";
import type { Language } from "./compose.ts";
import { genericDialogues } from "./generic-dialogues.ts";
import { digits, drawGenericSlots } from "./generic-world.ts";

export interface CorpusSource {
  readonly name: string;
  readonly licence: string;
  readonly conversations: readonly (readonly Message[])[];
  /** How often the tokenizer's trainer counts this source, and how many of its conversations it reads. */
  readonly tokenizerWeight: number;
  readonly tokenizerLimit: number;
}

/** The last 2 % of a source are never trained on. */
export function splitHeldOut<T>(items: readonly T[]): {
  readonly train: readonly T[];
  readonly heldOut: readonly T[];
} {
  const from = items.length - Math.floor(items.length * 0.02);
  return { train: items.slice(0, from), heldOut: items.slice(from) };
}

/** How many conversations the generator adds; Chinese gets more because the collected data has little of it. */
const GENERATED = { en: 7_000, zh: 14_000 } as const;

/** Every source, the collected ones first. */
export async function readCorpusSources(dataFolder: string): Promise<readonly CorpusSource[]> {
  return [...(await readCollectedSources(dataFolder)), ...generatedSources()];
}

/** Reads the collected dialogues below `dataFolder` (its layout: one folder a data set). */
export async function readCollectedSources(dataFolder: string): Promise<readonly CorpusSource[]> {
  if (!existsSync(dataFolder)) {
    throw new UserError(`the folder of dialogue data ${dataFolder} does not exist`, {
      next: "Name the folder that holds sgd/, crosswoz/, bitext/, abcd/ and taskmaster4/ with --data.",
    });
  }
  const collected = (
    name: string,
    licence: string,
    tokenizerWeight: number,
    conversations: CorpusSource["conversations"],
  ): CorpusSource => ({
    name,
    licence,
    conversations,
    tokenizerWeight,
    tokenizerLimit: Number.POSITIVE_INFINITY,
  });
  return [
    collected("sgd", "CC-BY-SA-4.0", 2, readSgd(join(dataFolder, "sgd"))),
    collected("crosswoz", "Apache-2.0", 3, await readCrosswoz(join(dataFolder, "crosswoz"))),
    collected("bitext", "CDLA-Sharing-1.0", 1, readBitext(join(dataFolder, "bitext"))),
    collected("abcd", "MIT", 1, readAbcd(join(dataFolder, "abcd"))),
    collected("taskmaster4", "CC-BY-4.0", 1, readTaskmaster(join(dataFolder, "taskmaster4", "data"))),
  ];
}

function generatedSources(): readonly CorpusSource[] {
  const generated = (language: Language, count: number, tokenizerLimit: number): CorpusSource => ({
    name: `generated-${language}`,
    licence: "Apache-2.0",
    conversations: [...genericDialogues(language, count)],
    tokenizerWeight: 1,
    tokenizerLimit,
  });
  return [generated("en", GENERATED.en, 1_500), generated("zh", GENERATED.zh, 4_000)];
}

/** Joins neighbours of one role, trims, and drops what has no reply: the result alternates and ends with the assistant. */
export function toConversation(messages: readonly Message[]): readonly Message[] {
  const result: { role: Message["role"]; content: string }[] = [];
  for (const { role, content } of messages) {
    const text = content.replaceAll("\t", " ").replace(/ +/g, " ").trim();
    if (text === "") continue;
    const last = result.at(-1);
    if (last?.role === role) last.content += `\n${text}`;
    else result.push({ role, content: text });
  }
  while (result.length > 0 && result.at(-1)!.role !== "assistant") result.pop();
  return result;
}

interface SgdDialogue {
  readonly turns: readonly { readonly speaker: string; readonly utterance: string }[];
}

function readSgd(folder: string): readonly (readonly Message[])[] {
  const files = ["train", "dev", "test"].flatMap((part) =>
    listFiles(join(folder, part), /^dialogues_\d+\.json\.gz$/),
  );
  return files.flatMap((file) => {
    const dialogues = JSON.parse(gunzipSync(readFileSync(file)).toString("utf8")) as readonly SgdDialogue[];
    return dialogues.map(({ turns }) =>
      toConversation(
        turns.map(({ speaker, utterance }) => ({
          role: speaker === "USER" ? "user" : "assistant",
          content: utterance,
        })),
      ),
    );
  });
}

interface CrosswozDialogue {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

async function readCrosswoz(folder: string): Promise<readonly (readonly Message[])[]> {
  const rng = random(7_002, "crosswoz placeholders");
  const conversations: (readonly Message[])[] = [];
  for (const file of ["val.json.zip", "test.json.zip"]) {
    const dialogues = JSON.parse(await readOnlyZipEntry(join(folder, file))) as Record<
      string,
      CrosswozDialogue
    >;
    for (const { messages } of Object.values(dialogues)) {
      const car = `${rng.pick(["黑色", "白色", "银色", "蓝色"])}${rng.pick(["大众", "丰田", "本田", "现代"])}`;
      const plate = `京${rng.pick([..."ABEFGHJKLMNPQ"])}${digits(5, rng)}`;
      conversations.push(
        toConversation(
          messages.map(({ role, content }) => ({
            role: role === "usr" ? "user" : "assistant",
            content: content.replaceAll("#CX", car).replaceAll("#CP", plate),
          })),
        ),
      );
    }
  }
  return conversations;
}

/** The rows name unknown facts as `{{Order Number}}`: invented values stand in, so that the model never writes braces. */
function readBitext(folder: string): readonly (readonly Message[])[] {
  const text = gunzipSync(readFileSync(join(folder, "bitext_3500_original_layout.csv.gz"))).toString("utf8");
  const rows = parse(text, { columns: true }) as readonly { instruction: string; response: string }[];
  const rng = random(7_003, "bitext placeholders");
  return rows.map(({ instruction, response }) => {
    const fill = placeholderFiller(rng);
    return toConversation([
      { role: "user", content: fill(instruction) },
      { role: "assistant", content: fill(response) },
    ]);
  });
}

function placeholderFiller(rng: Random): (text: string) => string {
  const slots = drawGenericSlots("en", rng);
  const values: readonly (readonly [RegExp, string | undefined])[] = [
    [/order number/i, slots["order"]],
    [/invoice number/i, `INV-${digits(5, rng)}`],
    [/tracking number/i, slots["tracking"]],
    [/phone/i, slots["phone"]],
    [/email/i, slots["mail"]],
    [/hours/i, slots["hours"]],
    [/url|page|portal|website|interaction/i, `www.${rng.pick(["shop", "store", "support"])}.example`],
    [
      /account (type|category|change)/i,
      rng.pick(["Standard", "Premium", "Gold", "Business", "Pro", "Silver"]),
    ],
    [/last name|name|salutation/i, slots["name"]],
    [/range/i, `1 to ${slots["date"]}`],
    [/currency/i, "$"],
    [/amount/i, digits(2, rng)],
    [/city|location/i, slots["city"]],
    [/country/i, rng.pick(["Canada", "Ireland", "Spain", "Germany"])],
    [/time|days/i, `${slots["deliveryDays"]} days`],
    [/status/i, rng.pick(["shipped", "in preparation", "delivered"])],
  ];
  return (text) =>
    text
      .replace(
        /\{\{([^{}]*)\}\}/g,
        (_, name: string) => values.find(([known]) => known.test(name))?.[1] ?? name,
      )
      .replace(/[{}]{2,}/g, "");
}

interface AbcdDialogue {
  readonly original: readonly (readonly [speaker: string, text: string])[];
}

function readAbcd(folder: string): readonly (readonly Message[])[] {
  const dialogues = JSON.parse(
    readFileSync(join(folder, "abcd_sample.json"), "utf8"),
  ) as readonly AbcdDialogue[];
  return dialogues.map(({ original }) =>
    toConversation(
      original
        .filter(([speaker]) => speaker !== "action")
        .map(([speaker, content]) => ({ role: speaker === "customer" ? "user" : "assistant", content })),
    ),
  );
}

interface TaskmasterDialogue {
  readonly utterances: readonly { readonly speaker: string; readonly text: string }[];
}

function readTaskmaster(folder: string): readonly (readonly Message[])[] {
  return listFiles(folder, /\.json\.gz$/).flatMap((file) => {
    const dialogues = JSON.parse(
      gunzipSync(readFileSync(file)).toString("utf8"),
    ) as readonly TaskmasterDialogue[];
    return dialogues
      .map(({ utterances }) =>
        toConversation(
          utterances.map(({ speaker, text }) => ({
            role: speaker === "user" ? "user" : "assistant",
            content: text,
          })),
        ),
      )
      .filter((messages) => messages.length > 1);
  });
}

function listFiles(folder: string, pattern: RegExp): readonly string[] {
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => join(folder, name));
}

async function readOnlyZipEntry(path: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    yauzl.open(path, { lazyEntries: true }, (openError, zip) => {
      if (openError !== null) return reject(openError);
      zip.once("error", reject);
      zip.once("entry", (entry) => {
        zip.openReadStream(entry, (readError, stream) => {
          if (readError !== null) return reject(readError);
          const chunks: Buffer[] = [];
          stream.on("data", (chunk: Buffer) => chunks.push(chunk));
          stream.once("error", reject);
          stream.once("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
        });
      });
      zip.readEntry();
    });
  });
}
