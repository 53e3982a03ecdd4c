/** The embedded dialogues: the generator writes the committed bytes, and they hold what the README says. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DIALOGUE_DIRT, ROW_DIRT } from "../../scripts/quickstart/dirt.ts";
import { buildQuickstartFiles } from "../../scripts/quickstart/generate-dialogues.ts";
import { type DialogueRow, piecesOf, similarity } from "../../scripts/quickstart/teashop-dialogues.ts";
import { priceText, readShop } from "../../scripts/quickstart/teashop-world.ts";

const FOLDER = join(import.meta.dirname, "..", "..", "assets", "quickstart");
const read = (name: string): string => readFileSync(join(FOLDER, name), "utf8");
const rowsOf = (name: string): readonly DialogueRow[] =>
  read(name)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as DialogueRow);
const languageOf = (id: string): string => id.slice(3, 5);

const train = rowsOf("train.jsonl");
const validation = rowsOf("validation.jsonl");
const rawLines = read("dialogues.jsonl").trimEnd().split("\n");
const dirt = JSON.parse(read("dirt.json")) as Record<string, readonly number[]>;

/** The rows of the raw file that can be parsed at all. */
const rawRows = rawLines.flatMap((line): readonly Partial<DialogueRow>[] => {
  try {
    return [JSON.parse(line) as Partial<DialogueRow>];
  } catch {
    return [];
  }
});

/** The last row of every dialogue: the whole conversation. */
function wholeDialogues(rows: readonly DialogueRow[]): ReadonlyMap<string, DialogueRow> {
  return new Map(rows.map((row) => [row.dialogue_id, row]));
}

const messagesOf = (row: DialogueRow): readonly { role: "user" | "assistant"; content: string }[] => [
  ...(row.context as readonly { role: "user" | "assistant"; content: string }[]),
  { role: "assistant", content: row.response },
];

describe("the generator", () => {
  it("writes the committed files byte for byte", () => {
    for (const [name, content] of buildQuickstartFiles()) {
      const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
      expect(digest(content), `${name} differs from what the generator writes; run it again`).toBe(
        digest(read(name)),
      );
    }
  }, 120_000);
});

describe("the raw dialogues", () => {
  const intentOf = new Map(rawRows.map((row) => [row.dialogue_id, row.intent]));
  const ids = [...intentOf.keys()].filter((id): id is string => typeof id === "string");

  it("are at least 600 in at least 8 intents, both languages with 40 % or more", () => {
    expect(ids.filter((id) => !id.endsWith("-copy")).length).toBeGreaterThanOrEqual(600);
    expect(new Set(intentOf.values()).size).toBeGreaterThanOrEqual(8);
    for (const language of ["en", "zh"]) {
      expect(ids.filter((id) => languageOf(id) === language).length / ids.length).toBeGreaterThanOrEqual(0.4);
    }
  });

  it("have one intent that dominates", () => {
    const share = ids.filter((id) => intentOf.get(id) === "order_status").length / ids.length;
    expect(share).toBeGreaterThan(0.3);
  });

  it("carry every kind of dirt on the lines that dirt.json names", () => {
    expect(Object.keys(dirt).sort()).toEqual(
      [...Object.keys(DIALOGUE_DIRT), ...Object.keys(ROW_DIRT)].sort(),
    );
    const signs: Record<string, RegExp> = {
      "personal-data": /@|\d{3,}[ -]?\d{3,}|passport|4111/,
      insult: /idiot|moron|bullshit|stupid|damn|crooks|骗子|垃圾|他妈|傻子|混蛋|有病/i,
      html: /<[a-z]+|<\/[a-z]+>|&nbsp;/,
      "full-width": /[\uff01-\uff5e]/,
      boilerplate: /third parties|第三方/,
      "invisible-characters": /\u200b|\ufeff|\u200d|\u00ad|\\u0007/,
    };
    for (const [kind, sign] of Object.entries(signs)) {
      for (const line of dirt[kind]!) expect(rawLines[line - 1], `${kind}, line ${line}`).toMatch(sign);
    }
    for (const line of dirt["json-syntax"]!)
      expect(() => JSON.parse(rawLines[line - 1]!)).toThrow(SyntaxError);
    const row = (line: number): Record<string, unknown> =>
      JSON.parse(rawLines[line - 1]!) as Record<string, unknown>;
    for (const line of dirt["missing-response"]!) expect(row(line)).not.toHaveProperty("response");
    for (const line of dirt["empty-response"]!) expect((row(line)["response"] as string).trim()).toBe("");
    for (const line of dirt["wrong-type"]!) {
      const { response, context } = row(line);
      const isTyped =
        typeof response === "string" &&
        Array.isArray(context) &&
        context.every((m: { role: unknown }) => typeof m.role === "string");
      expect(isTyped, `line ${line}`).toBe(false);
    }
    for (const line of dirt["role-order"]!) {
      const roles = (row(line)["context"] as readonly { role: string }[]).map(({ role }) => role);
      expect(
        roles.every((role, i) => role === (i % 2 === 0 ? "user" : "assistant")) && roles.length % 2 === 1,
      ).toBe(false);
    }
    const shortest = Math.min(
      ...dirt["short-reply"]!.map((line) => (row(line)["response"] as string).length),
    );
    expect(shortest).toBeLessThanOrEqual(2);
    const longest = Math.max(...dirt["long-reply"]!.map((line) => (row(line)["response"] as string).length));
    expect(longest).toBeGreaterThan(1_000);
  });

  it("hold copies, exact and retouched, of clean dialogues", () => {
    const clean = new Map([...wholeDialogues(train), ...wholeDialogues(validation)]);
    const row = (line: number): DialogueRow => JSON.parse(rawLines[line - 1]!) as DialogueRow;
    const check = (kind: string, isCopy: (copy: DialogueRow, original: DialogueRow) => boolean): void => {
      for (const [id, copy] of wholeDialogues(dirt[kind]!.map(row))) {
        expect(isCopy(copy, clean.get(id.replace("-copy", ""))!), `${kind} ${id}`).toBe(true);
      }
    };
    check(
      "exact-duplicate",
      (copy, original) => JSON.stringify(messagesOf(copy)) === JSON.stringify(messagesOf(original)),
    );
    check(
      "near-duplicate",
      (copy, original) => similarity(piecesOf(messagesOf(copy)), piecesOf(messagesOf(original))) > 0.7,
    );
  });
});

describe("the clean parts", () => {
  it("share no dialogue, no row and nothing nearly alike", () => {
    const [first, second] = [wholeDialogues(train), wholeDialogues(validation)];
    for (const id of second.keys()) expect(first.has(id)).toBe(false);
    const known = new Set(train.map(({ context, response }) => JSON.stringify([context, response])));
    for (const { context, response } of validation) {
      expect(known.has(JSON.stringify([context, response]))).toBe(false);
    }
    const pieces = [...first.values()].map((row) => piecesOf(messagesOf(row)));
    for (const row of second.values()) {
      const own = piecesOf(messagesOf(row));
      expect(Math.max(...pieces.map((other) => similarity(own, other)))).toBeLessThanOrEqual(0.5);
    }
  });

  it("hold well-formed dialogues of 2 to 9 customer turns, many of them long", () => {
    const dialogues = [...wholeDialogues(train).values(), ...wholeDialogues(validation).values()];
    for (const row of dialogues) {
      const roles = messagesOf(row).map(({ role }) => role);
      expect(roles.every((role, i) => role === (i % 2 === 0 ? "user" : "assistant"))).toBe(true);
      expect(row.turn).toBeGreaterThanOrEqual(1);
      expect(row.turn).toBeLessThanOrEqual(9);
    }
    expect(dialogues.filter(({ turn }) => turn >= 5).length / dialogues.length).toBeGreaterThan(0.25);
    for (const row of [...train, ...validation]) {
      expect(row.response).not.toMatch(/[{}[\]<>]|undefined|\s{2}|[，。]{2}|[,.]{2}/);
    }
  });

  it("ask late for what was said early, and the reply remembers it", () => {
    let recalls = 0;
    for (const { context, response, turn } of [...train, ...validation]) {
      const asked = context.at(-1)!.content.toLowerCase();
      if (
        !/repeat my order number|order number (did|do) |登记的订单号|再说一遍我的订单号|我报的订单号/.test(
          asked,
        )
      )
        continue;
      recalls += 1;
      const number = /LL-\d{5}/.exec(response)![0];
      const first = context.findIndex(({ content }) => content.includes(number));
      expect(first).toBeGreaterThanOrEqual(0);
      expect(first).toBeLessThan(2 * turn);
    }
    expect(recalls).toBeGreaterThan(30);
  });

  it("quote the prices of shop.json", () => {
    const shop = readShop();
    let quotes = 0;
    for (const { dialogue_id: id, response } of [...train, ...validation]) {
      const language = languageOf(id) === "en" ? "en" : "zh";
      for (const { name, price } of shop.products) {
        const pattern =
          language === "en" ? `[Tt]he ${name.en} costs (£[\\d.]*\\d)` : `(?:^|，)${name.zh}(\\d+元)`;
        const quoted = new RegExp(pattern).exec(response)?.[1];
        if (quoted === undefined) continue;
        quotes += 1;
        expect(quoted, response).toBe(priceText(price, language));
      }
    }
    expect(quotes).toBeGreaterThan(40);
  });
});

describe("shop.json", () => {
  it("relates only things that it holds", () => {
    const shop = JSON.parse(read("shop.json")) as {
      id: string;
      products: { id: string; category: string }[];
      categories: { id: string; parent?: string }[];
      policies: Record<string, unknown>;
      relations: { subject: string; object: string }[];
    };
    const ids = new Set([
      shop.id,
      ...[...shop.products, ...shop.categories].map(({ id }) => id),
      ...Object.keys(shop.policies),
    ]);
    for (const { subject, object } of shop.relations)
      expect([ids.has(subject), ids.has(object)]).toEqual([true, true]);
  });
});
