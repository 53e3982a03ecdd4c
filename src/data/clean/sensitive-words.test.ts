/** Sensitive words: lists, actions, offsets, errors. */
import { describe, expect, it } from "vitest";
import { dialogue, run } from "./rule.contract.ts";
import { cleaner } from "./cleaner.ts";

const own = (words: readonly string[], rest: object = {}) => ({
  sensitiveWords: { starter: false, lists: [{ words: [...words] }], ...rest },
});

describe("sensitive words", () => {
  it("rejects in a reply, flags in a user's message", () => {
    const { shown, report, results } = run("sensitiveWords", [
      dialogue("u: You are an idiot.", "a: I am sorry to hear that."),
      dialogue("u: Hello", "a: You are an idiot."),
      dialogue("u: 你们这群王八蛋", "a: 非常抱歉。"),
    ]);
    expect(shown[0]).toEqual(["u: You are an idiot.", "a: I am sorry to hear that."]);
    expect(shown[1]).toBe('sensitive-words: a message of the assistant holds "idiot" (insult)');
    expect(results[2]).toMatchObject({ kind: "kept", flags: ["sensitive-words/insult"] });
    expect(report).toMatchObject({ seen: 3, rejected: 1, flagged: 2, reasons: { insult: 3 } });
    const [example] = report.examples;
    expect(example!.text.slice(example!.start, example!.end)).toBe("idiot");
  });

  it("masks in the original, however the word is written", () => {
    const { shown } = run(
      "sensitiveWords",
      [dialogue("u: x", "a: 你這個廢　物，ＢＡＤ\u200BＷＯＲＤ and badword!")],
      own(["废物", "badword"], { assistant: "mask" }),
    );
    expect(shown[0]).toEqual(["u: x", "a: 你這個***，*** and ***!"]);
  });

  it("lets an entry's own action win, and a role's off win over all", () => {
    const words = ["@action flag", "soft", "@action reject", "hard"];
    const { shown, report } = run(
      "sensitiveWords",
      [dialogue("u: hard", "a: a soft one"), dialogue("u: soft", "a: a hard one")],
      own(words, { user: "off", assistant: "mask" }),
    );
    expect(shown).toEqual([
      ["u: hard", "a: a soft one"],
      'sensitive-words: a message of the assistant holds "hard" (words)',
    ]);
    expect(report.flagged).toBe(1);
  });

  it("matches patterns in linear time, Chinese ones in either script", () => {
    const { shown } = run(
      "sensitiveWords",
      [dialogue("u: x", `a: ${"a".repeat(50_000)}!`), dialogue("u: x", "a: 請加V信領紅包")],
      own(["/(a+)+$/", "/加.{0,2}信.{0,3}紅包/"], { assistant: "mask" }),
    );
    expect(shown).toEqual([
      ["u: x", `a: ${"a".repeat(50_000)}!`],
      ["u: x", "a: 請***"],
    ]);
  });

  it.each([
    [["ok", "/(a/"], "not a valid pattern"],
    [["/a*/"], "matches the empty text"],
    [["@actoin mask"], "@action reject|mask|flag"],
    [["\u200B\u200B"], "empty after normalisation"],
    [["/(?=a)b/"], "not a valid pattern"],
  ])("says file and line for %j", (words, problem) => {
    expect(() => cleaner(own(words))).toThrow(problem);
    expect(() => cleaner(own(words))).toThrow(`sensitiveWords.lists[0].words:${words.length}`);
  });

  it("reads lists through the services", () => {
    const services = { readText: (path: string) => (path === "my.txt" ? "# mine\n\nfoo*\n!foot\n" : "") };
    const config = { sensitiveWords: { starter: false, lists: [{ file: "my.txt" }] } };
    const { shown } = run(
      "sensitiveWords",
      [dialogue("u: x", "a: a foot"), dialogue("u: x", "a: food")],
      config,
      services,
    );
    expect(shown).toEqual([
      ["u: x", "a: a foot"],
      'sensitive-words: a message of the assistant holds "foo*" (words)',
    ]);
    expect(() => cleaner({ sensitiveWords: { lists: [{ file: "/no/such/list.txt" }] } })).toThrow(
      "/no/such/list.txt",
    );
  });
});
