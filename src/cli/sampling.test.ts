/** When replies are drawn, and whose settings count. */
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { type SamplingFlags, samplingOf, withSamplingOptions } from "./sampling.ts";

const published = { temperature: 0.7, top_k: 20, top_p: 0.8, repetition_penalty: 1.05, do_sample: true };

function sampling(words: readonly string[], generationConfig: unknown = published) {
  const command = withSamplingOptions(new Command().exitOverride().configureOutput({ writeErr: () => {} }));
  command.parse(words, { from: "user" });
  const { temperature, topK, topP, repetitionPenalty } = samplingOf(
    command.opts<SamplingFlags>(),
    generationConfig,
  );
  return { temperature, topK, topP, repetitionPenalty };
}

describe("sampling", () => {
  it("is greedy unless drawing is asked for, whatever the model publishes", () => {
    const greedy = { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1 };
    expect(sampling([])).toEqual(greedy);
    expect(sampling(["--temperature", "0", "--top-k", "5"])).toEqual(greedy);
    expect(sampling(["--repetition-penalty", "1.2"])).toEqual({ ...greedy, repetitionPenalty: 1.2 });
  });

  it("takes what the model publishes once it draws; flags win", () => {
    const model = { temperature: 0.7, topK: 20, topP: 0.8, repetitionPenalty: 1.05 };
    expect(sampling(["--sample"])).toEqual(model);
    expect(sampling(["--top-k", "5"])).toEqual({ ...model, topK: 5 });
    expect(sampling(["--temperature", "1.5"])).toEqual({ ...model, temperature: 1.5 });
  });

  it("passes over published values that make no sense", () => {
    const senseless = { temperature: -1, top_k: "many", top_p: 0.8 };
    expect(sampling(["--sample"], senseless)).toEqual({
      temperature: 1,
      topK: 0,
      topP: 0.8,
      repetitionPenalty: 1,
    });
    expect(sampling(["--sample"], "text")).toMatchObject({ temperature: 1, topP: 1 });
  });

  it("refuses values out of bounds", () => {
    expect(() => sampling(["--top-p", "2"])).toThrow("from 0.001 to 1");
    expect(() => sampling(["--max-new-tokens", "0"])).toThrow("whole number");
  });
});
