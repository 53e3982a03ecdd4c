/** The reason why one row cannot be kept: a mapper throws it, the reader turns it into a rejection. */
import { excerpt } from "../../util/index.ts";

export class RowFault extends Error {
  readonly rule: string;

  /** `rule` is a stable machine name; `reason` one sentence for people that names the value. */
  constructor(rule: string, reason: string) {
    super(reason);
    this.name = "RowFault";
    this.rule = rule;
  }
}

/** A value as it may stand in a sentence: its type, and its text where that is short. */
export function describeValue(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (typeof value === "string") return `the string ${JSON.stringify(excerpt(value.slice(0, 200), 40))}`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object") return "an object";
  return `the ${typeof value} ${String(value)}`;
}

/** JSON text of a value, cut; a value that cannot be written gives a word for it. */
export function safeJson(value: unknown): string {
  try {
    return (
      JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? inner.toString() : inner)) ??
      ""
    );
  } catch {
    return "(a value nested too deeply to show)";
  }
}
