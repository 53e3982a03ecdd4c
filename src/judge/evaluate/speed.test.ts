/** What counts as speed, on a clock that only the engine moves: warm-up left out, template and tokenising counted in. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type GenerationEngine, greedy } from "../../model/generate/index.ts";
import type { ConversationRenderer } from "../../model/text/index.ts";
import { measureSpeed, quantile, spread } from "./speed.ts";

let now = 0;
beforeEach(() => {
  now = 1000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

const stop = 1;

/** A prompt takes 1 ms a token, a step 5 ms; whatever comes before `cold` calls takes 1,000 times as long. */
function slowStarter(cold: number): GenerationEngine {
  let calls = 0;
  const take = (ms: number): void => {
    now += calls++ < cold ? 1000 * ms : ms;
  };
  let said = 0;
  return {
    slots: 1,
    capacity: 1000,
    prefill: async ([prompt]) => {
      said = 0;
      take(prompt!.ids.length);
      return [{ best: 7, logits: undefined }];
    },
    decode: async () => {
      take(5);
      said += 1;
      return [{ best: said === 10 ? stop : 7, logits: undefined }];
    },
    release: () => {},
    useAdapter: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Rendering takes 3 ms; a message of n characters is a prompt of n tokens. */
const renderer = {
  prompt: ([message]: readonly { readonly content: string }[]) => {
    now += 3;
    return Array.from({ length: message!.content.length }, () => 9);
  },
  stopIds: [stop],
  tokenizer: { stream: () => ({ push: () => "x", end: () => "" }) },
} as unknown as ConversationRenderer;

const asked = (lengths: readonly number[]) =>
  lengths.map((length) => [{ role: "user" as const, content: "a".repeat(length) }]);
const reply = { ...greedy, maxNewTokens: 50, stopStrings: [], seed: 0 };
const options = { prompts: 40, replies: 2, maxPromptTokens: 900, seconds: 6000 };

it("leaves the first prompts and steps out, counts template and tokenising in, and tells by prompt length", async () => {
  const lengths = [500, 500, 20, 40, 60, 100, 120];
  const speed = (await measureSpeed(slowStarter(4), renderer, asked(lengths), reply, options))!;
  expect(speed.ttftMsP50).toBeCloseTo(60 + 3, 9);
  expect(speed.ttftMsP95).toBeCloseTo(quantile([23, 43, 63, 103, 123], 0.95), 9);
  expect(speed.ttftByPrompt).toEqual([
    { prompt: "1–64", prompts: 3, p50Ms: 43, p95Ms: expect.closeTo(61, 9) as number },
    { prompt: "65–128", prompts: 2, p50Ms: 113, p95Ms: expect.closeTo(122, 9) as number },
  ]);
  expect(speed.prefillTokensPerSecond).toBeCloseTo(1000, 9);
  expect(speed.decodeTokensPerSecond).toBeCloseTo(200, 9);
  // Ten steps of 5 ms behind prompts of 500 and of 120 tokens.
  expect(speed.repliesPerSecondAlone).toBeCloseTo(2 / (0.553 + 0.173), 9);
  expect(speed).toMatchObject({ measuredPrompts: 5, measuredReplies: 2 });
});

it("of one conversation warms up on it first; of none that fits says nothing", async () => {
  const one = (await measureSpeed(slowStarter(2), renderer, asked([50]), reply, options))!;
  expect(one.ttftMsP50).toBeCloseTo(53, 9);
  expect(await measureSpeed(slowStarter(0), renderer, asked([950]), reply, options)).toBeUndefined();
});

it("ends when its time is up, after three", async () => {
  const many = asked(Array.from({ length: 42 }, () => 10));
  const speed = (await measureSpeed(slowStarter(0), renderer, many, reply, { ...options, seconds: 0.01 }))!;
  expect(speed.measuredPrompts).toBe(3);
});

it("spreads evenly and takes quantiles as NumPy does", () => {
  expect(spread([1, 2, 3, 4, 5], 3)).toEqual([1, 3, 5]);
  expect(spread([1, 2], 3)).toEqual([1, 2]);
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([5], 0.95)).toBe(5);
});
