/** Amounts of memory as people write them. */
import { describe, expect, it } from "vitest";
import { bytesOf, memorySize } from "./memory-size.ts";
import { resolveConfig } from "./resolve.ts";
import { trainConfigSchema } from "./schema.ts";

describe("an amount of memory", () => {
  it.each([
    ["3GiB", 3 * 2 ** 30],
    ["800 MB", 800e6],
    ["1.5gib", 1.5 * 2 ** 30],
    [2 ** 30, 2 ** 30],
  ])("%s", (written, bytes) => {
    expect(memorySize.safeParse(written).success).toBe(true);
    expect(bytesOf(written)).toBe(bytes);
  });

  it.each(["3apples", "3MiB", "-3GiB", "", "9999TiB"])(
    "refuses %j and says what it wants",
    async (written) => {
      const asked = resolveConfig(trainConfigSchema, {
        flags: { model: "m", "data.train": "d", "runtime.memory": written },
      });
      await expect(asked).rejects.toThrow(
        /^runtime\.memory is ".*"; it must be an amount of memory such as 3GiB or 800MB, of 64MiB or more \(--memory\)/,
      );
    },
  );
});
