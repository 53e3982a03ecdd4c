/** What decides how int8 is held: a runtime whose products saturate is found out. */
import { expect, test } from "vitest";
import { float32 } from "../tensor/index.ts";
import { exactProducts } from "./int8-form.ts";
import { referenceRuntime } from "./index.ts";
import type { Program, Runtime } from "./runtime.ts";

test("exact products are, and such as lose what 16 bits have no room for are not", async () => {
  const exact = referenceRuntime();
  expect(await exactProducts(exact)).toBe(true);
  const saturating = {
    compile: async (...given: Parameters<Runtime["compile"]>): Promise<Program> => {
      const program = await exact.compile(...given);
      return {
        ...program,
        run: async (...fed) => {
          const result = await program.run(...fed);
          const { shape, data } = result.outputs["y"]!;
          // Pairs of products: 8 of 32,767 are what is left of 16.
          const sums = float32(
            shape,
            Array.from({ length: data.length }, () => 8 * 32_767),
          );
          return { ...result, outputs: { y: sums } };
        },
        [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
      };
    },
  } as unknown as Runtime;
  expect(await exactProducts(saturating)).toBe(false);
});
