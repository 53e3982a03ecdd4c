/** Two speakers in one message, debris of encodings and web pages, other languages, repeated questions. */
import { describe, expect, it } from "vitest";
import { decodeEntities } from "./html.ts";
import { languageOf } from "./language.ts";
import { repairMojibake } from "./mojibake.ts";
import { dialogue, run } from "./rule.contract.ts";

describe("two speakers", () => {
  it.each([
    ["u: Customer: hi Agent: hello, how are you?", "two-speakers"],
    ["u: hi\nagent: hello\ncustomer: bye", "two-speakers"],
    ["u: 客户：你好 客服：您好", "two-speakers"],
    ["u: Agent: hello there", "wrong-speaker"],
  ])("turns away %j", (turn, reason) => {
    const { report, shown } = run("twoSpeakers", [dialogue(turn, "a: fine")]);
    expect(shown[0]).toContain("two-speakers: message 1 is the user's and holds");
    expect(report.reasons).toEqual({ [reason]: 1 });
  });

  it("removes a side's own name where every message has it", () => {
    const { shown } = run("twoSpeakers", [
      dialogue("u: Customer: hi", "a: Agent: hello", "u: customer：bye", "a: AGENT: see you"),
      dialogue("u: who is it?", "a: Agent: Maria Lopez"),
    ]);
    expect(shown).toEqual([
      ["u: hi", "a: hello", "u: bye", "a: see you"],
      ["u: who is it?", "a: Agent: Maria Lopez"],
    ]);
  });

  it("leaves sentences that speak of customers and agents", () => {
    const turns = [
      "u: ask your agent: she knows",
      "a: The customer service: open 9-5. An agent will call, customer or not.",
    ];
    expect(run("twoSpeakers", [dialogue(...turns)]).shown[0]).toEqual(turns);
  });
});

describe("encoding", () => {
  it.each([
    ["cafÃ© crÃ¨me", "café crème"],
    ["Itâ€™s fine â€“ really", "It’s fine – really"],
    ["ä½\u00a0å¥½", "你好"],
    ["Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"],
    ["naïve façade, «é» … café”…", "naïve façade, «é» … café”…"],
    ["¿Qué? ¡Sí! £5 ½ ÀÉ", "¿Qué? ¡Sí! £5 ½ ÀÉ"],
  ])("repairs %j to %j", (text, expected) => {
    expect(repairMojibake(text)).toBe(expected);
  });

  it.each([
    ["Tom &amp; Jerry&#39;s &quot;shop&quot; &#x4F60;", 'Tom & Jerry\'s "shop" 你'],
    ["AT&T; R&D &unknown; &#xD800; &#0;", "AT&T; R&D &unknown; &#xD800; &#0;"],
    ["&amp;lt;b&amp;gt;", "&lt;b&gt;"],
  ])("decodes %j to %j", (text, expected) => {
    expect(decodeEntities(text)).toBe(expected);
  });

  it("strips tags, keeps what only looks like one, and says what it did", () => {
    const { shown, report } = run("encoding", [
      dialogue(
        "u: <p>Hello<br/>there</p>",
        'a: <a href="http://x">Click</a> if a < b and c > d, <Order Number> &lt;b&gt;',
      ),
      dialogue("u: nul\u0000byte\uFEFF", "a: tab\tand\nline stay"),
    ]);
    expect(shown).toEqual([
      ["u: Hello\nthere", "a: Click if a < b and c > d, <Order Number> <b>"],
      ["u: nulbyte", "a: tab\tand\nline stay"],
    ]);
    expect(report.reasons).toEqual({ "tags-removed": 2, "entities-decoded": 1, "control-characters": 1 });
  });

  it.each([
    ["lost \uFFFD character", "replacement-character"],
    ["half \uD83D emoji", "lone-surrogate"],
    ["锟斤拷锟斤拷", "mojibake"],
    ["ÄãºÃÂð", "mojibake"],
    ["<script>alert(1)</script>hi", "script"],
  ])("turns away %j: %s", (text, reason) => {
    const { report } = run("encoding", [dialogue("u: x", `a: ${text}`)]);
    expect(report.reasons).toEqual({ [reason]: 1 });
    expect(report.rejected).toBe(1);
  });

  it("keeps or rejects markup when told to", () => {
    const record = () => dialogue("u: x", "a: <b>bold</b>");
    expect(run("encoding", [record()], { encoding: { html: "keep" } }).shown[0]).toEqual([
      "u: x",
      "a: <b>bold</b>",
    ]);
    expect(run("encoding", [record()], { encoding: { html: "reject" } }).shown[0]).toContain("markup");
  });

  it("is linear on hostile text", () => {
    const texts = [
      "<a ".repeat(100_000),
      "&".repeat(300_000),
      " ".repeat(300_000),
      "¡".repeat(300_000),
      "Ã".repeat(300_000),
    ];
    const { whole } = run(
      "encoding",
      texts.map((text) => dialogue("u: x", `a: ${text}`)),
    );
    expect(whole.seen).toBe(5);
  });
});

describe("language", () => {
  it.each([
    ["I would like to book a table for two please", "en"],
    ["您好，请问有什么可以帮您？", "zh"],
    ["ご予約の確認をお願いします", "ja"],
    ["예약을 확인해 주세요", "ko"],
    ["Здравствуйте, где мой заказ?", "ru"],
    ["Bonjour, je voudrais une chambre pour vous et moi, merci", "fr"],
    ["Guten Tag, ich möchte mein Konto nicht mehr mit der Karte", "de"],
    ["Hola, quiero una mesa para dos, gracias por la ayuda", "es"],
    ["Olá, não quero mais uma conta, obrigado por você", "pt"],
    ["Buongiorno, vorrei una camera per il mio gatto, grazie", "it"],
    ["Green Elephant Gourmet", undefined],
    ["", undefined],
    ["123 !!!", undefined],
  ] as const)("%j is %s", (text, expected) => {
    expect(languageOf(text)).toBe(expected);
  });

  it("drops what is certainly another language", () => {
    const { shown, report } = run(
      "language",
      [
        dialogue("u: Where is my order?", "a: It is on the way to you."),
        dialogue("u: 我的订单在哪里？", "a: 正在路上，请稍等。"),
        dialogue("u: ok", "a: ok"),
      ],
      { language: { wanted: ["en"] } },
    );
    expect(shown.map((result) => typeof result)).toEqual(["object", "string", "object"]);
    expect(report.reasons).toEqual({ zh: 1 });
    expect(report.details).toEqual({ languages: { en: 1, zh: 1, unknown: 1 } });
  });
});

describe("echo", () => {
  it("does not learn a reply that only repeats the question", () => {
    const { shown, report } = run("echo", [
      dialogue(
        "u: Is the ticket refundable today?",
        "a: is the ticket refundable today",
        "u: so?",
        "a: Yes, it is.",
      ),
      dialogue("u: 请问故宫门票多少钱？", "a: 请问故宫门票多少钱"),
      dialogue("u: Have a great day!", "a: Have a great day!"),
      dialogue("u: Is the ticket refundable?", "a: The ticket is refundable until 5 pm."),
    ]);
    expect(shown[0]).toEqual([
      "u: Is the ticket refundable today?",
      "h: is the ticket refundable today",
      "u: so?",
      "a: Yes, it is.",
    ]);
    expect(shown[1]).toContain("only repeats the question");
    expect(shown[2]).toEqual(["u: Have a great day!", "a: Have a great day!"]);
    expect(Array.isArray(shown[3])).toBe(true);
    expect(report).toMatchObject({ rejected: 1, unsupervised: 1, reasons: { "repeats-question": 2 } });
  });
});
