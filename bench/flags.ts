/** Numbers that benchmarks take as options. */
import { numberBetween, wholeNumber } from "../src/cli/arguments.ts";

export const count = wholeNumber(1, 1_000_000_000);
export const countFromZero = wholeNumber(0, 1_000_000_000);
/** Of what is dropped: not all. */
export const dropoutShare = numberBetween(0, 0.99);
