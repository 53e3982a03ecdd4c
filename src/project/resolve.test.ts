/** Where a setting came from, and what is said of one that is none. */
import { expect, test } from "vitest";
import { resolveConfig } from "./resolve.ts";
import { trainConfigSchema } from "./schema.ts";

const resolve = (flags: Record<string, unknown>, set: readonly string[] = []) =>
  resolveConfig(trainConfigSchema, { flags, set });

test("a path of data alone is the training data's, and came from where it was named", async () => {
  const { config, origins } = await resolve({ model: "m", data: "d.jsonl" });
  expect(config.data.train).toBe("d.jsonl");
  expect(origins.get("data.train")).toBe("--data");
  expect(origins.get("lora.rank")).toBe("default");
  const both = await resolve({ model: "m", data: "d.jsonl" }, ["data.train=e.jsonl"]);
  expect([both.config.data.train, both.origins.get("data.train")]).toEqual(["e.jsonl", "--set"]);
});

test("a setting that is none is told what it may have been, by its whole name", async () => {
  await expect(resolve({ model: "m", data: "d.jsonl" }, ["lora.rnk=8"])).rejects.toThrow(
    "lora.rnk is not a setting (--set). Did you mean lora.rank?",
  );
});
