/** Counts that benchmarks take as options. */
import { wholeNumber } from "../src/cli/arguments.ts";

export const count = wholeNumber(1, 1_000_000_000);
export const countFromZero = wholeNumber(0, 1_000_000_000);
