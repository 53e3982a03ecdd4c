/** Structure: what is repaired, what is turned away, and that every repair is counted. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { isSupervised } from "./messages.ts";
import { dialogue, run } from "./rule.contract.ts";

describe("structure", () => {
  it("leaves a sound conversation untouched", () => {
    const records = [
      dialogue("s: be kind", "u: hi", "a: hello"),
      dialogue("u: hi", "h: hello", "u: price?", "a: ten"),
      dialogue("u: weather?", "a: look up", "t: {sunny}", "a: sunny"),
    ];
    const { results, report } = run("structure", records);
    results.forEach((result, index) =>
      expect(result).toMatchObject({ kind: "kept", record: records[index] }),
    );
    expect(report.reasons).toEqual({});
  });

  it.each([
    [
      "joins a side's consecutive messages",
      ["u: hi", "u: there?", "a: yes", "a: here"],
      ["u: hi\nthere?", "a: yes\nhere"],
      { joined: 2 },
    ],
    [
      "lets the later message decide what is learned",
      ["u: hi", "h: yes", "a: here"],
      ["u: hi", "a: yes\nhere"],
      { joined: 1 },
    ],
    ["trims white space", ["u:  hi ", "a: hello\n"], ["u: hi", "a: hello"], { "white-space": 2 }],
    [
      "drops an opening reply",
      ["a: How can I help?", "u: hi", "a: hello"],
      ["u: hi", "a: hello"],
      { "reply-before-question": 1 },
    ],
    ["drops what nobody answered", ["u: hi", "a: hello", "u: bye"], ["u: hi", "a: hello"], { unanswered: 1 }],
    [
      "drops an empty reply between questions",
      ["u: hi", "a:   ", "u: there?", "a: yes"],
      ["u: hi\nthere?", "a: yes"],
      { "white-space": 1, "empty-turn": 1, joined: 1 },
    ],
    [
      "joins system messages",
      ["s: be kind", "s: be short", "u: hi", "a: hello"],
      ["s: be kind\nbe short", "u: hi", "a: hello"],
      { joined: 1 },
    ],
  ] as const)("%s", (_, turns, expected, reasons) => {
    const { shown, report } = run("structure", [dialogue(...turns)]);
    expect(shown[0]).toEqual(expected);
    expect(report.reasons).toEqual(reasons);
    expect(report.changed).toBe(1);
  });

  it.each([
    [["a: hello"], "no-user-turn"],
    [["s: be kind", "a: hello"], "no-user-turn"],
    [["u: hi"], "no-reply"],
    [["u: hi", "h: hello"], "no-reply"],
    [["u: hi", "a:  "], "empty-reply"],
    [["u: hi", "a: hello", "u:  ", "a: as I said"], "empty-question"],
    [["u: hi", "s: be kind", "a: hello"], "late-system"],
    [["u: hi", "t: 7", "a: hello"], "tool-without-call"],
    [[], "no-user-turn"],
  ] as const)("turns away %j: %s", (turns, reason) => {
    const { results, report } = run("structure", [dialogue(...turns)]);
    expect(results[0]!.kind).toBe("rejected");
    expect(report.reasons).toHaveProperty(reason);
    expect(report.rejected).toBe(1);
  });

  it("keeps or rejects an opening reply when told to", () => {
    const greeting = () => dialogue("a: How can I help?", "u: hi", "a: hello");
    expect(run("structure", [greeting()], { structure: { opening: "keep" } }).shown[0]).toEqual([
      "h: How can I help?",
      "u: hi",
      "a: hello",
    ]);
    expect(run("structure", [greeting()], { structure: { opening: "reject" } }).shown[0]).toContain(
      "begins with a reply",
    );
  });

  it("always gives a conversation that takes turns and ends in a reply", () => {
    const message = fc.record({
      role: fc.constantFrom("system", "user", "assistant", "tool"),
      content: fc.constantFrom("", " ", "x", " y "),
      supervised: fc.option(fc.boolean(), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), (drawn) => {
        const messages = drawn.map(({ supervised, ...rest }): RecordMessage =>
          supervised === undefined ? rest : { ...rest, supervised },
        );
        const record: DialogueRecord = { dialogueId: "d", messages, source: { file: "f" } };
        const [result] = run("structure", [record]).results;
        if (result!.kind === "rejected") return;
        const kept = result!.record.messages;
        expect(kept.some(isSupervised)).toBe(true);
        expect(kept.at(-1)!.role).toBe("assistant");
        const first = kept.findIndex(({ role }) => role !== "system");
        expect(kept[first]!.role).toBe("user");
        kept.forEach(({ role, content }, index) => {
          if (role !== "tool") expect(content).toBe(content.trim());
          if (role !== "tool") expect(content).not.toBe("");
          if (index > 0 && role !== "tool") expect(kept[index - 1]!.role).not.toBe(role);
        });
        // What is sound once is sound twice.
        expect(run("structure", [result!.record]).results[0]).toMatchObject({ changed: false });
      }),
      { numRuns: 400 },
    );
  });
});
