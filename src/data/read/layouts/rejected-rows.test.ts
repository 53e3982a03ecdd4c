import { describe, expect, test } from "vitest";
import type { DialogueRecord } from "../../record.ts";
import { jsonLines, readFileOf, type Everything } from "../fixtures.contract.ts";
import type { ReadOptions } from "../types.ts";

const read = async (rows: readonly unknown[], options: ReadOptions = {}): Promise<Everything> =>
  await readFileOf("rows.jsonl", jsonLines(rows), options);

const spoken = ({ messages }: DialogueRecord): string[] =>
  messages.map(({ role, content }) => `${role}: ${content}`);

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
