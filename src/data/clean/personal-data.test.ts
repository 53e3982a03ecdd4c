/** Personal data: placeholders, what stays, and that nothing found is left. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleaner } from "./cleaner.ts";
import { personalDetector } from "./personal-detect.ts";
import { isCardNumber, isIdentityNumber } from "./personal-numbers.ts";
import { dialogue, run } from "./rule.contract.ts";

const detect = personalDetector();

describe("checks", () => {
  it("Luhn, with an issuer's digits", () => {
    expect(isCardNumber("4111111111111111")).toBe(true);
    expect(isCardNumber("4111111111111112")).toBe(false);
    expect(isCardNumber("0000000000000000")).toBe(false);
  });

  it("identity number: date and check character", () => {
    expect(isIdentityNumber("110101199003071233")).toBe(true);
    expect(isIdentityNumber("110101199003071234")).toBe(false);
    expect(isIdentityNumber("110101199002301233")).toBe(false);
  });
});

describe("masking", () => {
  it("gives one value one placeholder, however it is written, and numbers the others", () => {
    const { shown, report } = run("personalData", [
      dialogue(
        "u: I am (415) 555-0132 or bob@example.com",
        "a: Is +1 415-555-0132 still right, BOB@example.com?",
        "u: no, 415.555.0199",
        "a: Thanks, 415-555-0199 and not 4155550132.",
      ),
    ]);
    expect(shown[0]).toEqual([
      "u: I am [PHONE] or [EMAIL]",
      "a: Is [PHONE] still right, [EMAIL]?",
      "u: no, [PHONE_2]",
      "a: Thanks, [PHONE_2] and not [PHONE].",
    ]);
    expect(report.reasons).toEqual({ phone: 5, email: 2 });
    for (const example of report.examples) expect(example.text).not.toMatch(/555-0132|bob@example/);
  });

  it("names every kind", () => {
    const { shown } = run("personalData", [
      dialogue(
        "u: 身份证110101199003071233，卡6222021000112233449，手机13812345678，车牌京A12345，IP 203.0.113.8，链接https://a.example.cn/r?token=abcd1234 ，a@example.cn",
        "a: 好的",
      ),
    ]);
    expect(shown[0]![0]).toBe(
      "u: 身份证[ID_NUMBER]，卡[BANK_CARD]，手机[PHONE]，车牌[LICENCE_PLATE]，IP [IP]，链接[URL] ，[EMAIL]",
    );
  });

  it("numbers alike in every row of a dialogue", () => {
    const rows = [
      dialogue("u: call 415-555-0132", "a: ok"),
      dialogue("u: call 415-555-0132", "h: ok", "u: or 415-555-0199", "a: fine"),
    ];
    expect(run("personalData", rows).shown).toEqual([
      ["u: call [PHONE]", "a: ok"],
      ["u: call [PHONE]", "h: ok", "u: or [PHONE_2]", "a: fine"],
    ]);
  });

  it("rejects or flags when told to, and only the kinds it is told", () => {
    const record = () => dialogue("u: mail bob@example.com, phone 415-555-0132", "a: ok");
    expect(run("personalData", [record()], { personalData: { action: "reject" } }).shown[0]).toContain(
      "(email)",
    );
    const flagged = run("personalData", [record()], { personalData: { action: "flag", kinds: ["phone"] } });
    expect(flagged.results[0]).toMatchObject({
      kind: "kept",
      changed: false,
      flags: ["personal-data/phone"],
    });
  });
});

describe("public numbers", () => {
  const answers = [
    ["u: What is their phone number?", "a: It's 510-538-0995."],
    ["u: 告诉我电话", "a: 电话是010-85181234，另有400-810-6666。"],
    ["u: how do I complain?", "a: Write to support@shop.example.com or call our desk at 1-800-555-0100."],
    ["s: Our hotline is 415-555-0100.", "u: hi, the hotline?", "a: 415-555-0100"],
  ] as const;

  it.each(answers.map((turns) => [turns]))("keeps the answer in %j", (turns) => {
    expect(run("personalData", [dialogue(...turns)]).shown[0]).toEqual(turns);
    const off = { personalData: { allowPublic: { answers: false, dialogues: 0 } } };
    expect(JSON.stringify(run("personalData", [dialogue(...turns)], off).shown[0])).toContain("[PHONE]");
  });

  it.each([
    [["u: my phone is 415-555-0132", "a: I will call 415-555-0132."]],
    [["u: which number do you have?", "a: Your phone number on file is 415-555-0132."]],
    [["u: 我的电话对吗", "a: 您登记的电话是010-85181234。"]],
    [["u: 经理电话多少", "a: 经理的手机是13812345678。"]],
    [["u: who is the owner? his email?", "a: Write to jane.doe@example.com."]],
  ])("hides the customer's or a private person's in %j", (turns) => {
    const text = JSON.stringify(run("personalData", [dialogue(...turns)]).shown[0]);
    expect(text).toMatch(/\[(PHONE|EMAIL)\]/);
    expect(text).not.toMatch(/\d{4}|jane/);
  });

  it("keeps what assistants of several dialogues name first, once they were looked at", () => {
    const records = [1, 2, 3].map(() => dialogue("u: 怎么联系", "a: 找店长13812345678"));
    const one = dialogue("u: 怎么联系", "a: 找店长13912345678");
    expect(run("personalData", [...records, one], {}, {}, true).shown).toEqual([
      ...records.map(() => ["u: 怎么联系", "a: 找店长13812345678"]),
      ["u: 怎么联系", "a: 找店长[PHONE]"],
    ]);
    expect(run("personalData", [...records, one]).shown[0]).toEqual(["u: 怎么联系", "a: 找店长[PHONE]"]);
  });

  it("keeps what the allow list names, however it is written", () => {
    const config = { personalData: { allow: ["(010) 62561234", "/@example\\.com$/"] } };
    const { shown } = run(
      "personalData",
      [dialogue("u: 010-62561234, a@example.com, b@example.org", "a: ok")],
      config,
    );
    expect(shown[0]).toEqual(["u: 010-62561234, a@example.com, [EMAIL]", "a: ok"]);
    expect(() => cleaner({ personalData: { allow: ["/(/"] } })).toThrow("personalData.allow[0]");
  });
});

describe("any text", () => {
  const pieces = fc.constantFrom(
    ..."0123456789 -.()+:/@a京AX",
    "13812345678",
    "4111111111111111",
    "110101199003071233",
    "bob@example.com",
    "https://a.b/?token=12345",
    "010-62561234",
    "203.0.113.8",
    "电话",
    "１",
    "\u200B",
    "\uD800",
  );
  const text = fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join(""));

  it("has sorted, disjoint finds within it", () => {
    fc.assert(
      fc.property(text, (drawn) => {
        let last = 0;
        for (const { start, end } of detect(drawn)) {
          expect(start).toBeGreaterThanOrEqual(last);
          expect(end).toBeGreaterThan(start);
          last = end;
        }
        expect(last).toBeLessThanOrEqual(drawn.length);
      }),
      { numRuns: 1_000 },
    );
  });

  it("holds nothing detectable once masked", () => {
    const config = { personalData: { allowPublic: { answers: false, dialogues: 0 } } };
    const clean = cleaner(config, {}, ["personalData"]);
    fc.assert(
      fc.property(text, text, (question, reply) => {
        const result = clean.process(dialogue(`u: ${question}`, `a: ${reply}`));
        if (result.kind === "rejected") throw new Error("masking rejects nothing");
        for (const { content } of result.record.messages) expect(detect(content)).toEqual([]);
      }),
      { numRuns: 1_000 },
    );
  });

  it("is read in linear time", () => {
    const hostile = [
      "1-".repeat(200_000),
      "a@".repeat(200_000),
      "+1 ".repeat(150_000),
      "(0".repeat(200_000),
      "f:".repeat(200_000),
      "京A".repeat(200_000),
      "a.".repeat(200_000),
      "x at y dot ".repeat(40_000),
      "13812345678 ".repeat(40_000),
      "http://".repeat(60_000),
    ];
    for (const drawn of hostile) expect(detect(drawn).length).toBeGreaterThanOrEqual(0);
  });
});
