/** Amounts of memory as people write them: 3GiB, 800 MB, or bytes. */
import { z } from "zod";

const units: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

function parsed(text: string): number | undefined {
  const [, digits, unit] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text.trim()) ?? [];
  const factor = unit === undefined ? undefined : units[unit.toLowerCase()];
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor;
}

/** At least what the program itself takes, at most what no machine has. */
export const memorySize = z.union([z.number(), z.string().max(40)]).refine(
  (value) => {
    const bytes = parsed(String(value));
    return bytes !== undefined && bytes >= 2 ** 26 && bytes <= 2 ** 50;
  },
  { message: "an amount of memory such as 3GiB or 800MB, of 64MiB or more" },
);

/** Bytes of an amount that `memorySize` has taken. */
export function bytesOf(amount: z.output<typeof memorySize>): number {
  const bytes = parsed(String(amount));
  if (bytes === undefined) throw new Error(`${amount} is no amount of memory`);
  return Math.floor(bytes);
}
