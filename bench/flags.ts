/** Options of benchmarks, which commander hands over as text. */
import { UserError } from "../src/util/index.ts";

/** The whole number that `option` was given as `text`. */
export function wholeNumber(text: string, option: string, least = 1): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least) return value;
  throw new UserError(`${option} is ${JSON.stringify(text)}; it must be a whole number from ${least} on`);
}
