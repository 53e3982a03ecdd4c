/** Values of options, checked where they are parsed: a bad one is misuse, exit code 2. */
import { InvalidArgumentError } from "commander";
import { shellWord } from "../util/index.ts";

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

export function numberBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
  };
}

/** A command as one types it: every flag that is given, quoted where a shell would take a word apart. */
export function commandLine(
  words: readonly string[],
  flags: Readonly<Record<string, string | number | undefined>>,
): string {
  const named = Object.entries(flags).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [`--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, String(value)],
  );
  return ["attune", ...words, ...named].map(shellWord).join(" ");
}

/** Collects an option that may be given several times. */
export function collect(value: string, all: readonly string[]): readonly string[] {
  return [...all, value];
}
