/** Reads fields of a row and says, as a row fault, what is wrong with one. */
import { RowFault, describeValue } from "../fault.ts";
import { isObject, own, type RowObject } from "./layout.ts";

export function requireObject(row: unknown): RowObject {
  if (isObject(row)) return row;
  throw new RowFault(
    "wrong-type",
    `a row must be an object with named fields; this one is ${describeValue(row)}`,
  );
}

/** A text that must be there and hold something. */
export function requireText(row: RowObject, name: string, what = `\`${name}\``): string {
  const value = own(row, name);
  if (typeof value === "string") {
    if (value.trim() !== "") return value;
    throw new RowFault("empty-field", `${what} is empty`);
  }
  if (value === undefined || value === null) throw new RowFault("missing-field", `${what} is missing`);
  throw new RowFault("wrong-type", `${what} must be text; it is ${describeValue(value)}`);
}

/** A text that may be absent, null or empty. */
export function optionalText(row: RowObject, name: string): string | undefined {
  const value = own(row, name);
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string") return value.trim() === "" ? undefined : value;
  throw new RowFault("wrong-type", `\`${name}\` must be text; it is ${describeValue(value)}`);
}

/** An identifier or class: text or a number, as text. */
export function optionalLabel(row: RowObject, name: string): string | undefined {
  const value = own(row, name);
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return value.trim() === "" ? undefined : value.trim();
  throw new RowFault("wrong-type", `\`${name}\` must be text or a number; it is ${describeValue(value)}`);
}

/** A whole number from 0 up, also written as digits (CSV). */
export function optionalCount(row: RowObject, name: string): number | undefined {
  const value = own(row, name);
  if (value === undefined || value === null || value === "") return undefined;
  const number =
    typeof value === "string" && /^\s*\d{1,15}\s*$/.test(value)
      ? Number(value)
      : typeof value === "bigint"
        ? Number(value)
        : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= 0) return number;
  throw new RowFault(
    "wrong-type",
    `\`${name}\` must be a whole number from 0 up; it is ${describeValue(value)}`,
  );
}

export function optionalWeight(row: RowObject, name: string): number | undefined {
  const value = own(row, name);
  if (value === undefined || value === null || value === "") return undefined;
  const number = typeof value === "string" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number) && number > 0) return number;
  throw new RowFault("wrong-type", `\`${name}\` must be a number above 0; it is ${describeValue(value)}`);
}

/** A list, or (a CSV cell) the JSON text of one; `undefined` for everything else. */
export function asList(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (typeof value !== "string" || !/^\s*\[/.test(value)) return undefined;
  try {
    const parsed: unknown = JSON.parse(value);
    return Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

export function requireList(row: RowObject, name: string): readonly unknown[] {
  const value = own(row, name);
  const list = asList(value);
  if (list !== undefined) {
    if (list.length > 0) return list;
    throw new RowFault("empty-field", `\`${name}\` is an empty list`);
  }
  if (value === undefined || value === null) throw new RowFault("missing-field", `\`${name}\` is missing`);
  throw new RowFault("wrong-type", `\`${name}\` must be a list; it is ${describeValue(value)}`);
}
