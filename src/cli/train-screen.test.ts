/** What a person sees of a run: sample replies too, whatever characters they hold. */
import { expect, test } from "vitest";
import type { PreparedRun } from "../project/index.ts";
import { terminalOutput } from "./terminal.ts";
import { trainingScreen } from "./train-screen.ts";

test("sample replies are shown after an evaluation, each on one line that a terminal can bear", () => {
  const written: string[] = [];
  const stream = { write: (text: string) => written.push(text) > 0, isTTY: false };
  const output = terminalOutput({ json: false }, { stdout: stream, stderr: stream });
  const show = trainingScreen({ plan: { steps: 10 } } as unknown as PreparedRun, "runs/x", output);
  show({
    type: "probe",
    step: 5,
    replies: [
      { prompt: "Where is\nmy order?", reply: "On its way\u001B[2J.\r\n", reference: "Here." },
      { prompt: "订单在哪里？", reply: "好".repeat(300), reference: "" },
    ],
  });
  const [asked, said, , long] = written.join("").trimEnd().split("\n");
  expect(asked).toContain("customer: Where is my order?");
  expect(said).toContain("model:    On its way [2J.");
  expect(Array.from(long!.trim().slice("model:    ".length))).toHaveLength(200);
  expect(written.join("")).not.toContain("\u001B");
});
