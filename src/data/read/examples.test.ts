import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Example } from "../../model/text/index.ts";
import { readExamples } from "./examples.ts";
import { jsonLines, withFiles } from "./fixtures.contract.ts";

async function examplesOf(content: string): Promise<Example[]> {
  return await withFiles({ "train.jsonl": content }, async (folder) => {
    const examples: Example[] = [];
    for await (const example of readExamples(join(folder, "train.jsonl"))) examples.push(example);
    return examples;
  });
}

async function errorOf(content: string): Promise<string> {
  const error = await examplesOf(content).then(
    () => expect.fail("no error"),
    (thrown: Error) => thrown,
  );
  expect(error.name).toBe("UserError");
  return error.message.replaceAll(/[^\s()]*[\\/]attune-read-\w+[\\/]/g, "");
}

const good = {
  context: "Where is my parcel?",
  response: "On its way.",
  intent: "track",
  dialogue_id: "d1",
  turn: 0,
};

describe("readExamples", () => {
  test("takes the three forms of context", async () => {
    const rows = [
      good,
      { context: "User: Hi\nAgent: Hello!\nWhat can I do?\nUser: Refund", response: "Done." },
      { context: "用户：你好\n客服：您好\n用户：退货", response: "好的，马上为您办理。" },
      { context: ["Hello!", "Hi", "Refund"], response: "Done." },
      { context: [{ role: "customer", content: "Refund" }], response: "Done.", weight: 0.5 },
    ];
    const examples = await examplesOf(jsonLines(rows));
    expect(examples[0]).toEqual({
      dialogueId: "d1",
      intent: "track",
      turn: 0,
      messages: [
        { role: "user", content: "Where is my parcel?" },
        { role: "assistant", content: "On its way." },
      ],
    });
    expect(examples.map(({ messages }) => messages.slice(0, -1))).toEqual([
      [{ role: "user", content: "Where is my parcel?" }],
      [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello!\nWhat can I do?", supervised: false },
        { role: "user", content: "Refund" },
      ],
      [
        { role: "user", content: "你好" },
        { role: "assistant", content: "您好", supervised: false },
        { role: "user", content: "退货" },
      ],
      [
        { role: "user", content: "Hello!" },
        { role: "assistant", content: "Hi", supervised: false },
        { role: "user", content: "Refund" },
      ],
      [{ role: "user", content: "Refund" }],
    ]);
    expect(examples[4]?.weight).toBe(0.5);
    expect(new Set(examples.map(({ dialogueId }) => dialogueId)).size).toBe(5);
  });

  test("takes whole conversations and keeps what is not to be learned", async () => {
    const row = {
      dialogue_id: "x",
      intent: "refund",
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello", supervised: false },
        { role: "user", content: "Refund" },
        { role: "assistant", content: "Done" },
      ],
    };
    expect(await examplesOf(jsonLines([row]))).toEqual([
      { dialogueId: "x", intent: "refund", messages: row.messages },
    ]);
  });

  test("stops at the first broken row with file, line, rule and next step", async () => {
    expect(await errorOf(`${jsonLines([good, good])}{"context": "x", "response": tru}\n`)).toBe(
      'not valid JSON: a value expected, found "t" (train.jsonl:3:30). Mend or remove this row (rule json-syntax).',
    );
    expect(await errorOf(jsonLines([good, { ...good, response: 7 }]))).toBe(
      "`response` must be text; it is the number 7 (train.jsonl:2). Mend or remove this row (rule wrong-type).",
    );
    expect(await errorOf(jsonLines([good, { context: "Hi" }]))).toBe(
      "`response` is missing (train.jsonl:2). Mend or remove this row (rule missing-field).",
    );
    expect(
      await errorOf(jsonLines([good, { context: [{ role: "wizard", content: "x" }], response: "y" }])),
    ).toMatch(/^message 1 has the string "wizard" as its role; known are .*train\.jsonl:2/);
  });

  test("names a layout that it does not know with the fields it found", async () => {
    expect(await errorOf(jsonLines([{ dialogue_history: "x", answer: "y" }]))).toMatch(
      /^train\.jsonl has no layout that is known: its fields are dialogue_history, answer\. Map its fields/,
    );
    expect(await errorOf("")).toMatch(/train\.jsonl is empty/);
  });
});
