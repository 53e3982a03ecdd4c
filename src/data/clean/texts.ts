/**
 * What rules learned about recent texts. Rows that repeat their whole history, one reply each, bring every
 * message many times in close succession: it is looked up once a row and judged once.
 */
import { FULL_NORMALISATION, type NormalisedCodes, normaliser } from "./normalise.ts";

/** One distinct text with what each rule computed for it. */
export interface TextEntry {
  readonly text: string;
  /** One place a slot; `undefined` where nothing was computed yet. */
  readonly values: unknown[];
}

/** Computes once a text; the value must not be `undefined`. */
export type Slot<T> = (entry: TextEntry) => T;

export interface Texts {
  entry(text: string): TextEntry;
  slot<T>(compute: (text: string) => T): Slot<T>;
  /** As `slot`, from the fully normalised text; all such slots of a text are filled in one go. */
  normalisedSlot<T>(compute: (normal: NormalisedCodes, text: string) => T): Slot<T>;
}

/** Longer texts are not remembered: they hardly repeat and would hold much memory. */
const MAX_REMEMBERED = 4_000;
/** Small, so that what is forgotten dies young and costs the garbage collector nothing. */
const CAPACITY = 1_024;

export function newTexts(): Texts {
  const normalise = normaliser(FULL_NORMALISATION);
  const normalised: {
    readonly index: number;
    readonly compute: (normal: NormalisedCodes, text: string) => unknown;
  }[] = [];
  let slots = 0;
  // Two generations bound the memory without bookkeeping.
  let young = new Map<string, TextEntry>();
  let old = new Map<string, TextEntry>();
  const newEntry = (text: string): TextEntry => ({ text, values: Array.from({ length: slots }) });

  return {
    entry(text) {
      if (text.length > MAX_REMEMBERED) return newEntry(text);
      let entry = young.get(text);
      if (entry !== undefined) return entry;
      entry = old.get(text) ?? newEntry(text);
      if (young.size >= CAPACITY) [old, young] = [young, new Map()];
      young.set(text, entry);
      return entry;
    },
    slot<T>(compute: (text: string) => T): Slot<T> {
      const index = slots++;
      return ({ text, values }) => (values[index] ??= compute(text)) as T;
    },
    normalisedSlot<T>(compute: (normal: NormalisedCodes, text: string) => T): Slot<T> {
      const index = slots++;
      normalised.push({ index, compute });
      return ({ text, values }) => {
        if (values[index] === undefined) {
          const normal = normalise(text);
          for (const slot of normalised) values[slot.index] = slot.compute(normal, text);
        }
        return values[index] as T;
      };
    },
  };
}
