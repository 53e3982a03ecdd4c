import { describe, expect, test } from "vitest";
import type { DialogueRecord } from "../../record.ts";
import { jsonLines, readFileOf, type Everything } from "../fixtures.contract.ts";
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

  test("a native context may name its speakers and texts in other words", async () => {
    const context = [{ speaker: "customer", text: "Hi" }];
    expect((await read([{ context, response: "Hello" }])).records.map(spoken)).toEqual([
      ["user: Hi", "assistant: Hello"],
    ]);
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
