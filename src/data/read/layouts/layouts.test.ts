import { describe, expect, test } from "vitest";
import type { DialogueRecord } from "../../record.ts";
import { jsonLines, readFileOf, type Everything } from "../testing.ts";
import type { ReadOptions } from "../types.ts";
import { LAYOUTS, LAYOUT_NAMES, type LayoutName } from "./table.ts";

const read = async (rows: readonly unknown[], options: ReadOptions = {}): Promise<Everything> =>
  await readFileOf("rows.jsonl", jsonLines(rows), options);

/** "user: text" for each message; "(…)" where an assistant message is not learned. */
const spoken = ({ messages }: DialogueRecord): string[] =>
  messages.map(({ role, content, supervised }) =>
    supervised === false ? `(${role}: ${content})` : `${role}: ${content}`,
  );

interface Case {
  readonly layout: LayoutName;
  readonly row: object;
  readonly spoken: readonly string[];
  readonly intent?: string;
  readonly dialogueId?: string;
}

const CASES: readonly Case[] = [
  {
    layout: "native",
    row: {
      context: "Customer: Hi\nAgent: Hello\nCustomer: Refund",
      response: "Done",
      intent: 3,
      system: "Be kind",
    },
    spoken: ["system: Be kind", "user: Hi", "(assistant: Hello)", "user: Refund", "assistant: Done"],
    intent: "3",
  },
  {
    layout: "messages",
    row: {
      messages: [
        { role: "developer", content: "Be kind" },
        {
          role: "user",
          content: [
            { type: "text", text: "One" },
            { type: "text", text: "Two" },
          ],
        },
        { role: "assistant", content: "Hi", weight: 0 },
        { role: "user", content: "Refund" },
        { role: "assistant", content: "Done" },
      ],
    },
    spoken: ["system: Be kind", "user: One\nTwo", "(assistant: Hi)", "user: Refund", "assistant: Done"],
  },
  {
    layout: "alpaca",
    row: {
      instruction: "Translate",
      input: "bonjour",
      output: "hello",
      history: [["Hi", "Hello"]],
      system: "Be brief",
    },
    spoken: [
      "system: Be brief",
      "user: Hi",
      "assistant: Hello",
      "user: Translate\nbonjour",
      "assistant: hello",
    ],
  },
  {
    layout: "sharegpt",
    row: {
      id: "s1",
      conversations: [
        { from: "system", value: "Be kind" },
        { from: "human", value: "Weather?" },
        { from: "function_call", value: '{"name":"weather","arguments":{"city":"Bonn"}}' },
        { from: "observation", value: "rain" },
        { from: "gpt", value: "It rains" },
      ],
    },
    spoken: [
      "system: Be kind",
      "user: Weather?",
      'assistant: <tool_call>\n{"name":"weather","arguments":{"city":"Bonn"}}\n</tool_call>',
      "tool: rain",
      "assistant: It rains",
    ],
    dialogueId: "s1",
  },
  {
    layout: "prompt-completion",
    row: { question: "Open on Sunday?", answer: "Yes", system: "Be kind" },
    spoken: ["system: Be kind", "user: Open on Sunday?", "assistant: Yes"],
  },
  {
    layout: "bitext",
    row: {
      flags: "B",
      instruction: "cancel {{Order Number}}",
      category: "ORDER",
      intent: "cancel_order",
      response: "Sure, {{Order Number}}",
    },
    spoken: ["user: cancel {{Order Number}}", "assistant: Sure, {{Order Number}}"],
    intent: "cancel_order",
  },
  {
    layout: "sgd",
    row: {
      dialogue_id: "1_0",
      services: ["Movies"],
      turns: [
        {
          speaker: "USER",
          utterance: "A film",
          frames: [{ actions: [], state: { active_intent: "FindMovies" } }],
        },
        { speaker: "SYSTEM", utterance: "Which?", frames: [] },
        { speaker: "USER", utterance: "Thanks", frames: [{ actions: [], state: { active_intent: "NONE" } }] },
        { speaker: "SYSTEM", utterance: "Bye", frames: [] },
      ],
    },
    spoken: ["user: A film", "assistant: Which?", "user: Thanks", "assistant: Bye"],
    dialogueId: "sgd-1_0",
  },
  {
    layout: "crosswoz",
    row: {
      id: 7,
      goal: [],
      messages: [
        {
          role: "usr",
          content: "找酒店",
          dialog_act: [
            ["General", "greet", "none", "none"],
            ["Request", "酒店", "名称", ""],
          ],
        },
        { role: "sys", content: "好的", dialog_act: [] },
      ],
    },
    spoken: ["user: 找酒店", "assistant: 好的"],
    dialogueId: "crosswoz-7",
  },
  {
    layout: "abcd",
    row: {
      convo_id: 5,
      scenario: { flow: "product_defect", subflow: "return_size" },
      original: [
        ["agent", "Hi!"],
        ["agent", "Help?"],
        ["customer", "Return"],
        ["action", "pulled up"],
        ["agent", "Sure"],
      ],
    },
    spoken: ["(assistant: Hi!\nHelp?)", "user: Return", "assistant: Sure"],
    intent: "return_size",
    dialogueId: "abcd-5",
  },
  {
    layout: "taskmaster",
    row: {
      conversation_id: "dlg-1",
      vertical: "Coffee",
      utterances: [
        { speaker: "USER", text: "A mocha" },
        { speaker: "ASSISTANT", text: "Sure" },
      ],
    },
    spoken: ["user: A mocha", "assistant: Sure"],
    intent: "Coffee",
    dialogueId: "dlg-1",
  },
];

describe("layouts", () => {
  test.each(CASES)("$layout is detected with its evidence and mapped", async (entry) => {
    const { records, rejections, report } = await read([entry.row]);
    expect(rejections).toEqual([]);
    expect(report.sources[0]).toMatchObject({
      layout: entry.layout,
      layoutEvidence: expect.stringMatching(/^1 of 1 sampled rows have /),
    });
    expect(records.map(spoken)).toEqual([entry.spoken]);
    expect(records[0]?.intent).toBe(entry.intent);
    if (entry.dialogueId !== undefined) expect(records[0]?.dialogueId).toBe(entry.dialogueId);
    // Each row fits its own layout alone.
    expect(LAYOUTS.filter((layout) => layout.detect([entry.row]).score > 0).map(({ name }) => name)).toEqual([
      entry.layout,
    ]);
  });

  test("every layout has a case here", () => {
    expect([...CASES.map(({ layout }) => layout), "multidogo"]).toEqual(LAYOUT_NAMES);
  });

  test("intents of single turns stand at the turn and its reply", async () => {
    const rows = CASES.filter(({ layout }) => layout === "sgd" || layout === "crosswoz").map(
      ({ row }) => row,
    );
    const intents = [];
    for (const row of rows)
      intents.push((await read([row])).records[0]?.messages.map(({ intent }) => intent));
    expect(intents).toEqual([
      ["FindMovies", "FindMovies", "FindMovies", "FindMovies"],
      ["酒店-Request", "酒店-Request"],
    ]);
  });

  test("MultiDoGO is refused with the reason", async () => {
    const tsv =
      "conversationId\tturnNumber\tutteranceId\tutterance\tslot-labels\tintent\nx\t0\ty\thi\tO\tgreet\n";
    await expect(readFileOf("dev.tsv", tsv)).rejects.toThrow(
      /only the customers' turns, no replies of an agent/,
    );
  });

  test("a JSON object of dialogues by id, and lists inside an object", async () => {
    const crosswoz = CASES.find(({ layout }) => layout === "crosswoz")!.row;
    const keyed = await readFileOf("val.json", JSON.stringify({ 11: crosswoz, 12: crosswoz }));
    expect(keyed.records.map(({ dialogueId }) => dialogueId)).toEqual(["crosswoz-val-11", "crosswoz-val-12"]);
    const abcd = CASES.find(({ layout }) => layout === "abcd")!.row;
    expect(
      (await readFileOf("abcd.json", JSON.stringify({ train: [abcd, abcd], dev: [abcd] }))).records.length,
    ).toBe(3);
    const one = await readFileOf("one.json", JSON.stringify(CASES[1]!.row, undefined, 2));
    expect([one.records.length, one.report.sources[0]?.fileFormatEvidence]).toEqual([
      1,
      "one JSON object that is a row itself",
    ]);
  });
});

describe("detection", () => {
  test("an ambiguous source is refused with its candidates, and --format decides", async () => {
    const row = {
      context: "Hi",
      response: "Hello",
      messages: [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello" },
      ],
    };
    await expect(read([row])).rejects.toThrow(
      /rows\.jsonl fits more than one layout: native \(1 of 1 sampled rows have `context`.*\) or messages \(.*\)\. Choose with --format native or --format messages\./,
    );
    expect((await read([row], { format: "native" })).records.length).toBe(1);
    await expect(read([row], { format: "natve" as LayoutName })).rejects.toThrow(
      /format "natve" is not known; .* Did you mean native\?/,
    );
  });

  test("rows of another layout are rejected one by one", async () => {
    const { records, rejections } = await read([...Array(9).fill(CASES[0]!.row), CASES[1]!.row]);
    expect([records.length, rejections.length, rejections[0]?.rule]).toEqual([9, 1, "missing-field"]);
  });

  test("fields are mapped, also by path, and a wrong mapping is explained", async () => {
    const rows = [{ dialogue_history: "Hi", answer: { text: "Hello" }, label: "greet", context: "hidden" }];
    const fields = { context: "dialogue_history", response: "answer.text", intent: "label" };
    const { records, report } = await read(rows, { fields });
    expect(records.map(spoken)).toEqual([["user: Hi", "assistant: Hello"]]);
    expect([records[0]?.intent, report.sources[0]?.layout]).toEqual(["greet", "native"]);
    await expect(read(rows, { fields: { ...fields, respnse: "x" } })).rejects.toThrow(
      /field "respnse" cannot be mapped; known are .*Did you mean response\?/,
    );
    await expect(read(rows, { fields: { ...fields, context: "dialog_history" } })).rejects.toThrow(
      /has no field "dialog_history", which context is mapped to; its fields are .*Did you mean dialogue_history\?/,
    );
    const gap = await read([...rows, { answer: { text: "x" }, context: "hidden" }], { fields });
    expect(gap.rejections).toMatchObject([{ rule: "missing-field", reason: "`context` is missing" }]);
  });
});

describe("rows that are not kept", () => {
  const messages = (...list: unknown[]): object => ({ messages: list });
  const user = { role: "user", content: "Hi" };
  const reply = { role: "assistant", content: "Hello" };
  test.each<[string, object, string, RegExp]>([
    [
      "a number for text",
      messages(user, { role: "assistant", content: 7 }),
      "wrong-type",
      /content of message 2 must be text; it is the number 7/,
    ],
    [
      "an unknown role",
      messages(user, { role: "narrator", content: "x" }),
      "unknown-role",
      /message 2 has the string "narrator" as its role/,
    ],
    ["no role", messages(user, { content: "x" }), "missing-field", /message 2 names no role/],
    [
      "no content",
      messages(user, { role: "assistant", content: null }),
      "missing-field",
      /message 2 has no content/,
    ],
    [
      "an image",
      messages({ role: "user", content: [{ type: "image_url" }] }, reply),
      "unsupported-content",
      /message 1 has a part that is no text: the string "image_url"/,
    ],
    ["no reply", messages(user, user), "no-reply", /none of the 2 messages is a reply/],
    [
      "a lone surrogate",
      messages({ role: "user", content: "\ud83d" }, reply),
      "lone-surrogate",
      /message 1 holds half a surrogate pair/,
    ],
    [
      "a NUL",
      messages({ role: "user", content: "a\u0000b" }, reply),
      "nul-character",
      /message 1 holds a NUL/,
    ],
    [
      "not an object",
      messages(user, reply, "text"),
      "wrong-type",
      /message 3 must be an object .* the string "text"/,
    ],
    [
      "an object as intent",
      { ...messages(user, reply), intent: {} },
      "wrong-type",
      /`intent` must be text or a number; it is an object/,
    ],
  ])("%s", async (_, row, rule, reason) => {
    const { records, rejections } = await read([messages(user, reply), row], { format: "messages" });
    expect(records.length).toBe(1);
    expect(rejections).toMatchObject([
      { rule, reason: expect.stringMatching(reason), source: { line: 2 }, excerpt: JSON.stringify(row) },
    ]);
  });

  test("lone surrogates can be replaced, tools rejected", async () => {
    const replaced = await read([messages({ role: "user", content: "x\ud83d" }, reply)], {
      loneSurrogates: "replace",
    });
    expect(replaced.records.map(spoken)).toEqual([["user: x\ufffd", "assistant: Hello"]]);
    const call = { id: "1", type: "function", function: { name: "f", arguments: '{"a":1}' } };
    const row = {
      tools: [{ type: "function", function: { name: "f" } }],
      ...messages(
        user,
        { role: "assistant", content: null, tool_calls: [call] },
        { role: "tool", content: "2" },
        reply,
      ),
    };
    const rendered = await read([row]);
    expect(rendered.records.map(spoken)).toEqual([
      [
        'system: <tools>\n[{"type":"function","function":{"name":"f"}}]\n</tools>',
        "user: Hi",
        'assistant: <tool_call>\n{"name":"f","arguments":{"a":1}}\n</tool_call>',
        "tool: 2",
        "assistant: Hello",
      ],
    ]);
    expect(rendered.report.sources[0]?.notes.length).toBe(2);
    expect((await read([row], { tools: "reject" })).rejections).toMatchObject([{ rule: "tool-use" }]);
  });

  test("keys that name the prototype do no harm", async () => {
    const text =
      '{"context": "Hi", "response": "Hello", "__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}\n';
    const { records } = await readFileOf("rows.jsonl", text, { fields: { intent: "__proto__.polluted" } });
    expect(records[0]?.intent).toBe("1");
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    const missing = await readFileOf(
      "rows.jsonl",
      '{"context": "Hi", "response": "Hello", "messages": 1}\n',
      { fields: { system: "x" } },
    ).catch(String);
    expect(missing).toMatch(/no field "x"/);
  });

  test("10 MB in a row and 10,000 brackets deep", async () => {
    const long = { context: "x".repeat(10_000_000), response: "y" };
    expect((await read([long])).records[0]?.messages[0]?.content.length).toBe(10_000_000);
    const deep = `{"context": "Hi", "response": "Hello", "extra": ${"[".repeat(10_000)}${"]".repeat(10_000)}}`;
    const inside = `{"context": ${"[".repeat(10_000)}${"]".repeat(10_000)}, "response": "Hello"}`;
    const { records, rejections } = await readFileOf("deep.jsonl", `${deep}\n${inside}\n`, {
      format: "native",
    });
    expect([records.length, rejections[0]?.rule]).toEqual([1, "wrong-type"]);
    const array = await readFileOf("deep.json", `[${deep},${inside}]`, { format: "native" });
    expect([array.records.length, array.rejections.length]).toEqual([1, 1]);
  });
});
