/** What a person sees of a run: sample replies too, whatever characters they hold. */
import { expect, test } from "vitest";
import type { PreparedRun } from "../project/index.ts";
import type { RunEvent } from "../train/index.ts";
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

test("a run in fp16 shows its loss scale and its skipped steps, at each step, in the end and in the result", () => {
  const written: string[] = [];
  const stream = { write: (text: string) => written.push(text) > 0, isTTY: false };
  const plan = { steps: 2, evaluateEvery: 2, validation: [], summary: {}, config: { method: "lora" } };
  const events: readonly RunEvent[] = [
    { type: "skipped", step: 1, lossScale: 32_768, skippedSteps: 1, tokens: 9, peakBytes: 1, seconds: 1 },
    {
      type: "step",
      step: 2,
      epoch: 1,
      loss: 2,
      gradientNorm: 1,
      learningRate: 1e-3,
      replies: 1,
      tokens: 9,
      supervisedTokens: 3,
      peakBytes: 1,
      seconds: 1,
      lossScale: 32_768,
      skippedSteps: 1,
    },
    {
      type: "finished",
      reason: "completed",
      step: 2,
      validationLossBefore: Number.NaN,
      validationLossBest: Number.NaN,
      bestStep: 2,
      tokensPerSecond: 9,
      stepSeconds: 1,
      peakBytes: 1,
      seconds: 2,
    },
  ];
  const shown = (json: boolean): string[] => {
    written.length = 0;
    const output = terminalOutput({ json }, { stdout: stream, stderr: stream });
    const show = trainingScreen({ plan } as unknown as PreparedRun, "runs/x", output);
    for (const event of events) show(event);
    return written.join("").trimEnd().split("\n");
  };
  const [skipped, step, done, noise] = shown(false);
  expect(noise).toContain("gradient noise scale: not measured, as it takes steps of several micro-batches");
  expect(skipped).toContain(
    "step 1 skipped: its gradient overflows float16 (1 so far); loss scale now 32,768",
  );
  expect(step).toMatch(/^step 2\/2 {2}loss 2\.0000 .* loss scale 32,768, 1 skipped$/);
  expect(done).toMatch(/^done .*; loss scale 32,768, 1 skipped$/);
  expect(JSON.parse(shown(true).at(-1)!)).toMatchObject({
    type: "result",
    lossScale: 32_768,
    skippedSteps: 1,
  });
});

test("the gradient noise scale is shown at each step and explained in the end", () => {
  const written: string[] = [];
  const stream = { write: (text: string) => written.push(text) > 0, isTTY: false };
  const output = terminalOutput({ json: false }, { stdout: stream, stderr: stream });
  const plan = { steps: 1, evaluateEvery: 2, validation: [], summary: {}, config: { method: "lora" } };
  const show = trainingScreen({ plan } as unknown as PreparedRun, "runs/x", output);
  const figures = { tokens: 9, peakBytes: 1, seconds: 1 };
  show({
    type: "step",
    step: 1,
    epoch: 1,
    loss: 2,
    gradientNorm: 1,
    learningRate: 1e-3,
    replies: 16,
    supervisedTokens: 3,
    noiseScale: 1234.4,
    ...figures,
  });
  show({
    type: "finished",
    reason: "completed",
    step: 1,
    validationLossBefore: Number.NaN,
    validationLossBest: Number.NaN,
    bestStep: 1,
    tokensPerSecond: 9,
    stepSeconds: 1,
    ...figures,
  });
  const text = written.join("");
  expect(text).toMatch(/^step 1\/1 .* noise scale 1,234$/m);
  expect(text).toContain("gradient noise scale: about 1,234 replies (a step has 16)");
});
