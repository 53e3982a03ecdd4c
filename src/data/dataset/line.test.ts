/** A line read back is the example that was written; anything else is refused with its place. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Example } from "../../model/text/index.ts";
import { exampleToLine, lineToExample, lineWithWeight } from "./line.ts";

const EXAMPLE: Example = {
  dialogueId: "d-1",
  messages: [
    { role: "user", content: "Where is my order?" },
    { role: "assistant", content: "Which one?", supervised: false },
    { role: "user", content: "#12" },
    { role: "assistant", content: "On its way." },
  ],
  intent: "track_order",
  turn: 1,
};

describe("lines", () => {
  it("leave out what is the default", () => {
    expect(exampleToLine(EXAMPLE)).toMatchInlineSnapshot(
      `"{"dialogue_id":"d-1","messages":[{"role":"user","content":"Where is my order?"},{"role":"assistant","content":"Which one?","supervised":false},{"role":"user","content":"#12"},{"role":"assistant","content":"On its way."}],"intent":"track_order","turn":1}"`,
    );
    expect(lineWithWeight('{"a":1}', 1)).toBe('{"a":1}');
    expect(lineWithWeight('{"a":1}', 2.5)).toBe('{"a":1,"weight":2.5}');
    expect(lineWithWeight('{"a":1,"weight":2.5}', 2)).toBe('{"a":1,"weight":5}');
    expect(lineWithWeight('{"a":1,"weight":2.5}', 1)).toBe('{"a":1,"weight":2.5}');
    expect(lineWithWeight('{"a":1,"weight":0.5}', 2)).toBe('{"a":1}');
  });

  it("come back as they were, for any text", () => {
    const message = fc.record({
      role: fc.constantFrom("user", "system", "tool"),
      content: fc.string({ unit: "binary" }),
    });
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.array(message, { maxLength: 8 }),
        fc.double({ min: 0.01, max: 9, noNaN: true }).map((weight) => Math.round(weight * 1e6) / 1e6),
        (id, messages, weight) => {
          const example = {
            dialogueId: id,
            messages: [...messages, { role: "assistant", content: "x" }],
            weight,
          } as Example;
          const back = lineToExample(
            JSON.parse(lineWithWeight(exampleToLine({ ...example, weight: 1 }), weight)),
            "f:1",
          );
          expect(back).toEqual(weight === 1 ? { ...example, weight: undefined } : example);
        },
      ),
    );
  });

  it.each([
    [[], "must be a JSON object"],
    [{ messages: [] }, "dialogue_id must be a text"],
    [{ dialogue_id: "a", messages: [] }, "messages must be a list"],
    [
      { dialogue_id: "a", messages: [{ role: "bot", content: "x" }] },
      'role must be system, user, assistant or tool, not "bot"',
    ],
    [{ dialogue_id: "a", messages: [{ role: "user", content: 3 }] }, "message 1: content must be a text"],
    [
      { dialogue_id: "a", messages: [{ role: "user", content: "x" }] },
      "no message of this example is to be learned",
    ],
    [
      { dialogue_id: "a", messages: [{ role: "assistant", content: "x", supervised: "no" }] },
      "must be true or false",
    ],
    [
      { dialogue_id: "a", messages: [{ role: "assistant", content: "x" }], weight: 0 },
      "weight must be a number above 0",
    ],
    [
      { dialogue_id: "a", messages: [{ role: "assistant", content: "x" }], intent: 4 },
      "intent must be a text",
    ],
    [
      { dialogue_id: "a", messages: [{ role: "assistant", content: "x" }], turn: 1.5 },
      "turn must be a whole number",
    ],
  ])("refuses %j", (value, problem) => {
    expect(() => lineToExample(value, "train.jsonl:7")).toThrow(problem);
    expect(() => lineToExample(value, "train.jsonl:7")).toThrow("train.jsonl:7");
  });
});
