/** The cleaner as a whole: accounts that add up, the same result every time, the seed's preset, any input. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DialogueRecord, RecordMessage } from "../record.ts";
import { cleaner } from "./cleaner.ts";
import { CleanConfig, SEED_CONFIG } from "./config.ts";
import { RULES, RULE_KEYS } from "./rules.ts";
import { dialogue, shown } from "./rule.contract.ts";

const REPLY = "The parcel left our warehouse this morning and should be with you on Thursday before noon.";

const message = fc.record({
  role: fc.constantFrom("system", "user", "assistant", "tool"),
  content: fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.string({ unit: "grapheme", maxLength: 40 }),
    fc.constantFrom(
      REPLY,
      "",
      "  ",
      "Where is my parcel?",
      "\uD800",
      "a\uDC00\uD800b",
      "<b>Ã©</b>&amp;",
      "电话13812345678，混蛋",
      "Customer: hi Agent: hello",
      "您的快递已于今天上午从仓库发出，预计周四中午之前送达，请您保持电话畅通。",
    ),
  ),
  supervised: fc.option(fc.boolean(), { nil: undefined }),
});
const record = fc
  .record({ dialogueId: fc.constantFrom("a", "b", "\uD800"), messages: fc.array(message, { maxLength: 7 }) })
  .map(({ dialogueId, messages }): DialogueRecord => ({
    dialogueId,
    messages: messages.map(({ supervised, ...rest }): RecordMessage =>
      supervised === undefined ? rest : { ...rest, supervised },
    ),
    source: { file: "fuzz", line: 1 },
  }));

describe("cleaner", () => {
  it("accounts for every record, never throws, and marks within the shown text", () => {
    const clean = cleaner({ language: { wanted: ["en", "zh"] }, sensitiveWords: { user: "mask" } });
    let seen = 0;
    fc.assert(
      fc.property(record, (drawn) => {
        const before = JSON.stringify(drawn);
        clean.observe(drawn);
        const result = clean.process(drawn);
        seen += 1;
        expect(JSON.stringify(drawn)).toBe(before);
        if (result.kind === "rejected") {
          expect(result.rejection.source).toBe(drawn.source);
          expect(result.rejection.reason.length).toBeGreaterThan(0);
          expect(result.rejection.excerpt.length).toBeLessThanOrEqual(2_000);
        } else {
          expect(result.changed).toBe(result.record !== drawn);
          expect(
            result.record.messages.some(
              ({ role, supervised }) => role === "assistant" && supervised !== false,
            ),
          ).toBe(true);
        }
      }),
      { numRuns: 1_500 },
    );
    const report = clean.finish();
    expect(report.seen).toBe(seen);
    expect(report.kept + report.rejected).toBe(seen);
    let left = seen;
    for (const rule of report.rules) {
      expect(rule.seen).toBe(left);
      left = rule.kept;
      expect(rule.examples.length).toBeLessThanOrEqual(5);
      for (const { text, start, end } of rule.examples) {
        expect(start).toBeGreaterThanOrEqual(0);
        expect(end).toBeGreaterThanOrEqual(start);
        expect(text.length).toBeGreaterThanOrEqual(end);
      }
    }
    expect(left).toBe(report.kept);
    expect(() => JSON.stringify(report)).not.toThrow();
  });

  it("gives the same for the same, and the same in two halves", () => {
    const records = fc.sample(record, { numRuns: 200, seed: 5 });
    const whole = cleaner();
    const once = records.map((one) => JSON.stringify(whole.process(one)));
    const again = cleaner();
    expect(records.map((one) => JSON.stringify(again.process(one)))).toEqual(once);
    expect(again.finish()).toEqual(whole.finish());

    const single = cleaner(
      {},
      {},
      RULE_KEYS.filter((key) => RULES[key].scope === "record"),
    );
    const compared = cleaner(
      {},
      {},
      RULE_KEYS.filter((key) => RULES[key].scope === "corpus"),
    );
    const inHalves = records.map((one) => {
      const first = single.process(one);
      return first.kind === "rejected" ? first : compared.process(first.record);
    });
    expect(inHalves.map(({ kind }) => kind)).toEqual(
      once.map((text) => (JSON.parse(text) as { kind: string }).kind),
    );
  });

  it("has record rules before corpus rules, under the names it reports", () => {
    const scopes = RULE_KEYS.map((key) => RULES[key].scope);
    expect(scopes.lastIndexOf("record")).toBeLessThan(scopes.indexOf("corpus"));
    expect(
      cleaner()
        .finish()
        .rules.map(({ name }) => name),
    ).toEqual([
      "encoding",
      "structure",
      "two-speakers",
      "language",
      "echo",
      "sensitive-words",
      "personal-data",
      "reply-length",
      "exact-duplicate",
      "boilerplate",
      "near-duplicate",
    ]);
  });

  it("is configured with defaults, and refuses what it does not know", () => {
    expect(CleanConfig.parse({})).toMatchObject({
      replyLength: { min: 10, max: 200, unit: "words", mode: "context-only" },
      nearDuplicates: { threshold: 0.8, enabled: true },
      personalData: { action: "mask" },
    });
    expect(() => CleanConfig.parse({ replyLenght: {} })).toThrow();
    expect(() => CleanConfig.parse({ replyLength: { minimum: 3 } })).toThrow();
    expect(() => CleanConfig.parse({ nearDuplicates: { threshold: 2 } })).toThrow();
  });

  it("reproduces the seed: short, rude and repeated records go, the rest stays as it is", () => {
    const clean = cleaner(SEED_CONFIG);
    const mail = dialogue("u: mail me at bob@example.com", `a: ${REPLY}`);
    const results = [
      dialogue("u: Where is it?", `a: ${REPLY}`),
      dialogue("u: Where is it?", `a: ${REPLY}`),
      dialogue("u: Where is it?", "a: On its way."),
      dialogue("u: You idiot, where is it?", `a: ${REPLY}`),
      mail,
    ].map((one) => shown(clean.process(one)));
    expect(results.map((result) => (typeof result === "string" ? result.split(":")[0] : "kept"))).toEqual([
      "kept",
      "exact-duplicate",
      "reply-length",
      "sensitive-words",
      "kept",
    ]);
    expect(
      clean
        .finish()
        .rules.filter(({ enabled }) => enabled)
        .map(({ name }) => name),
    ).toEqual(["structure", "sensitive-words", "reply-length", "exact-duplicate"]);
  });

  it("shows no personal data in any rule's example", () => {
    const clean = cleaner();
    clean.process(
      dialogue("a: Your phone is 415-555-0132?", "u: yes  ", "u: you idiot, 415-555-0132", `a: ${REPLY}`),
    );
    const { rules } = clean.finish();
    expect(rules.flatMap(({ examples }) => examples).length).toBeGreaterThan(3);
    expect(JSON.stringify(rules)).not.toContain("555-0132");
    const [greeting] = rules.find(({ name }) => name === "structure")!.examples;
    expect(greeting!.text).toBe("yes  ");
  });

  it("takes a row of 10 MB", () => {
    const clean = cleaner();
    const result = clean.process(
      dialogue("u: what?", `a: ${"长".repeat(2_000_000)} ${"word ".repeat(1_000_000)}`),
    );
    expect(result.kind).toBe("rejected");
    if (result.kind === "rejected") expect(result.rejection.excerpt.length).toBeLessThanOrEqual(2_000);
  });
});
