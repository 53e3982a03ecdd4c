/** Writes the embedded dialogues of the quick start: `npx tsx scripts/quickstart/generate-dialogues.ts [--out FOLDER]`. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Random, random, writeFileAtomic } from "../../src/util/index.ts";
import type { Language } from "./compose.ts";
import {
  DIALOGUE_DIRT,
  type DialogueDirt,
  ROW_DIRT,
  type RowDirt,
  breakRow,
  spoil,
  toLines,
} from "./dirt.ts";
import { writeReadme } from "./readme.ts";
import { type ShopDialogue, dialogueSource, toRows } from "./teashop-dialogues.ts";

const SEED = 20_260_101;
const CLEAN = 480;
const VALIDATION_SHARE = 0.13;

/** A stretch of lines of the raw file that stay together, and which of them carry which dirt. */
interface Block {
  readonly lines: readonly string[];
  readonly kind?: DialogueDirt | RowDirt;
  /** Indices into `lines`. */
  readonly dirty: readonly number[];
}

/** Every generated file by its name: the same bytes on every machine. */
export function buildQuickstartFiles(): ReadonlyMap<string, string> {
  const next = dialogueSource(SEED);
  const rng = random(SEED, "dirt and order");
  const languageOf = (index: number): Language => (index % 2 === 0 ? "en" : "zh");
  const clean = Array.from({ length: CLEAN }, (_, i) => next(languageOf(i)));
  const blocks: Block[] = clean.map((dialogue) => ({ lines: toLines(dialogue), dirty: [] }));
  blocks.push(...spoiltDialogues(next, clean, rng), ...brokenRows(next, rng));

  const raw: string[] = [];
  const dirt: Record<string, number[]> = {};
  for (const { lines, kind, dirty } of rng.shuffle(blocks)) {
    for (const index of dirty) (dirt[kind!] ??= []).push(raw.length + index + 1);
    raw.push(...lines);
  }
  const { train, validation } = splitByDialogue(clean);
  const lines = (dialogues: readonly ShopDialogue[]): string => `${dialogues.flatMap(toLines).join("\n")}\n`;
  const files = new Map([
    ["dialogues.jsonl", `${raw.join("\n")}\n`],
    ["dirt.json", `${JSON.stringify(dirt)}\n`],
    ["train.jsonl", lines(train)],
    ["validation.jsonl", lines(validation)],
  ]);
  files.set("README.md", writeReadme(files, clean, train, validation));
  return files;
}

/** Further dialogues with dirt in them, and copies of clean ones. */
function spoiltDialogues(
  next: (language: Language) => ShopDialogue,
  clean: readonly ShopDialogue[],
  rng: Random,
): Block[] {
  const originals = rng.shuffle(clean);
  let copies = 0;
  const copy = (): ShopDialogue => {
    const original = originals[copies]!;
    copies += 1;
    return { ...original, id: `${original.id}-copy` };
  };
  return (Object.entries(DIALOGUE_DIRT) as [DialogueDirt, number][]).flatMap(([kind, count]) =>
    Array.from({ length: count }, (_, i): Block => {
      if (kind === "exact-duplicate") {
        const lines = toLines(copy());
        return { lines, kind, dirty: [...lines.keys()] };
      }
      const source = kind === "near-duplicate" ? copy() : next(i % 2 === 0 ? "en" : "zh");
      const { dialogue, turns } = spoil(source, kind, rng);
      return { lines: toLines(dialogue), kind, dirty: turns };
    }),
  );
}

/** Single lines that cannot be read; each comes from the last reply of a dialogue that occurs nowhere else. */
function brokenRows(next: (language: Language) => ShopDialogue, rng: Random): Block[] {
  return (Object.entries(ROW_DIRT) as [RowDirt, number][]).flatMap(([kind, count]) =>
    Array.from({ length: count }, (_, i): Block => {
      const row = toRows(next(i % 2 === 0 ? "en" : "zh")).at(-1)!;
      return { lines: [breakRow(row, kind, rng)], kind, dirty: [0] };
    }),
  );
}

/** Every intent and language gives its share; a dialogue is never in both parts. */
function splitByDialogue(clean: readonly ShopDialogue[]): {
  readonly train: readonly ShopDialogue[];
  readonly validation: readonly ShopDialogue[];
} {
  const strata = new Map<string, number>();
  const validation = clean.filter(({ intent, language }) => {
    const key = `${language} ${intent}`;
    const before = strata.get(key) ?? 0;
    strata.set(key, before + 1);
    return Math.floor((before + 1) * VALIDATION_SHARE + 0.5) > Math.floor(before * VALIDATION_SHARE + 0.5);
  });
  return { train: clean.filter((dialogue) => !validation.includes(dialogue)), validation };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: join(import.meta.dirname, "..", "..", "assets", "quickstart") },
    },
  });
  for (const [name, content] of buildQuickstartFiles()) {
    await writeFileAtomic(join(values.out, name), content);
    console.log(`${name}: ${Buffer.byteLength(content)} bytes`);
  }
}

if (process.argv[1]?.endsWith("generate-dialogues.ts") === true) await main();
