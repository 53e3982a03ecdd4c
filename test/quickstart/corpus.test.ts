/** The pre-training corpus: where its conversations come from, and that the embedded dialogues are not among them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  readCollectedSources,
  splitHeldOut,
  toConversation,
} from "../../scripts/quickstart/corpus-sources.ts";
import { genericDialogues } from "../../scripts/quickstart/generic-dialogues.ts";
import { expand, parsePhraseBook, readPhraseBook } from "../../scripts/quickstart/phrase-book.ts";
import { UserError, random } from "../../src/util/index.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const PHRASES = join(ROOT, "scripts", "quickstart", "phrases");

describe("phrase books", () => {
  it("are read with their flags, and a bad line is named", () => {
    const book = parsePhraseBook(
      "@ack\n* yes.\n= hours id w=3 item=ware\n? when\n! {ack} now\n- 0.5 needs=name\n? a\n! b",
      "x.txt",
    );
    expect(book.flows[0]).toMatchObject({
      intent: "hours",
      identifies: true,
      weight: 3,
      item: "ware",
      late: false,
    });
    expect(book.flows[0]!.steps[0]).toEqual({ chance: 0.5, needs: ["name"], user: ["a"], reply: ["b"] });
    expect(() => parsePhraseBook("= hours\nwhat is this", "x.txt")).toThrow("x.txt:2: an unknown mark");
  });

  it("are expanded: lists, facts, nested alternatives, and no loose commas", () => {
    const book = parsePhraseBook("@ack\n* thank you, {call}.", "x.txt");
    const rng = random(1, "test");
    expect(expand("{ack} it costs {price}", book, { call: "", price: "£2" }, rng)).toBe(
      "Thank you. It costs £2",
    );
    expect(expand("{ack} ok", book, { call: "Ms Bennett" }, rng)).toBe("Thank you, Ms Bennett. Ok");
    expect(["a c", "b c"]).toContain(expand("[a|[b|b]] c", book, {}, rng).toLowerCase());
    expect(() => expand("{nothing}", book, {}, rng)).toThrow('no slot "nothing"');
  });

  it.each(["en", "zh"])(
    "of the embedded shop and of the generic shops share no sentence (%s)",
    (language) => {
      const sentences = (name: string): readonly string[] => {
        const { flows } = readPhraseBook(join(PHRASES, `${name}.${language}.txt`));
        return flows.flatMap(({ answers, steps }) => [...answers, ...steps.flatMap(({ reply }) => reply)]);
      };
      const generic = new Set(sentences("generic"));
      expect(sentences("teashop").filter((sentence) => generic.has(sentence))).toEqual([]);
    },
  );
});

describe("generated pre-training dialogues", () => {
  it("hold no reply of the embedded dialogues but the shortest", () => {
    const generated = new Set(
      (["en", "zh"] as const).flatMap((language) =>
        [...genericDialogues(language, 1_500)].flatMap((messages) => messages.map(({ content }) => content)),
      ),
    );
    const embedded = ["train", "validation"].flatMap((part) =>
      readFileSync(join(ROOT, "assets", "quickstart", `${part}.jsonl`), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { response: string }).response),
    );
    expect(embedded.filter((reply) => reply.length > 12 && generated.has(reply))).toEqual([]);
  });

  it("name the customer only after the customer has told the name", () => {
    for (const messages of genericDialogues("en", 300)) {
      for (const [i, { role, content }] of messages.entries()) {
        const name = /^Thanks (\w+)\./.exec(content)?.[1];
        if (role !== "assistant" || name === undefined) continue;
        const before = messages.slice(0, i).map((message) => message.content.toLowerCase());
        expect(before.some((text) => text.includes(name.toLowerCase()))).toBe(true);
      }
    }
  });
});

describe("sources", () => {
  it("are cleaned: neighbours joined, blank turns and unanswered ends dropped", () => {
    const conversation = toConversation([
      { role: "assistant", content: "Hi!" },
      { role: "assistant", content: "How can I\thelp?" },
      { role: "user", content: "  " },
      { role: "user", content: "refund" },
      { role: "assistant", content: "sure" },
      { role: "user", content: "bye" },
    ]);
    expect(conversation).toEqual([
      { role: "assistant", content: "Hi!\nHow can I help?" },
      { role: "user", content: "refund" },
      { role: "assistant", content: "sure" },
    ]);
  });

  it("keep their last 2 % out of training", () => {
    const items = Array.from({ length: 210 }, (_, i) => i);
    expect(splitHeldOut(items)).toEqual({ train: items.slice(0, 206), heldOut: items.slice(206) });
    expect(splitHeldOut([1, 2, 3]).heldOut).toEqual([]);
  });

  it("that are missing are named with the option that says where they are", async () => {
    await expect(readCollectedSources(join(ROOT, "no-such-folder"))).rejects.toThrow(UserError);
    await expect(readCollectedSources(join(ROOT, "no-such-folder"))).rejects.toThrow("--data");
  });

  it("are read whole from the collected data", async (ctx) => {
    const folder = join(ROOT, "..", "shared", "data");
    if (!existsSync(folder)) return ctx.skip("the collected dialogue data (../shared/data) is not here");
    const sources = await readCollectedSources(folder);
    expect(
      Object.fromEntries(sources.map(({ name, conversations }) => [name, conversations.length])),
    ).toEqual({
      sgd: 2_623,
      crosswoz: 1_000,
      bitext: 3_500,
      abcd: 3,
      taskmaster4: 210,
    });
    for (const { name, conversations } of sources) {
      for (const messages of conversations) {
        expect(messages.at(-1)!.role, name).toBe("assistant");
        for (const { content } of messages)
          if (/\{\{|#CX|#CP|undefined/.test(content)) expect.fail(`${name}: ${content}`);
      }
    }
  }, 120_000);
});
