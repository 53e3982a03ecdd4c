/** Which layout the rows of a source have: one clear winner, or an error that shows the candidates. */
import { UserError, excerpt, nearest } from "../../util/index.ts";
import { UnusableSource } from "./unusable.ts";
import { LAYOUTS, LAYOUT_NAMES, type LayoutName } from "./layouts/table.ts";
import { toWellFormed } from "./encoding.ts";
import { isObject, type Layout } from "./layouts/layout.ts";
import type { FieldMap } from "./types.ts";

export type KnownLayout = Layout & { readonly name: LayoutName };

export interface LayoutGuess {
  readonly layout: KnownLayout;
  readonly evidence: string;
}

/** A layout must fit at least this share of the sample, and this much more than the next one. */
const LEAST_SCORE = 0.5;
const LEAST_LEAD = 0.25;

/** `rows` are sampled values whose fields are mapped already. */
export function detectLayout(
  rows: readonly unknown[],
  file: string,
  fields: FieldMap | undefined,
): LayoutGuess {
  const scored = LAYOUTS.map((layout) => ({ layout, ...layout.detect(rows) })).sort(
    (a, b) => b.score - a.score,
  );
  const best = scored[0]!;
  const rivals = scored.filter((other) => other.score > 0 && best.score - other.score < LEAST_LEAD);
  if (best.score >= LEAST_SCORE && rivals.length === 1)
    return { layout: best.layout, evidence: best.evidence };
  const columns = columnsOf(rows);
  const found = columns === "" ? "its rows are no objects with named fields" : `its fields are ${columns}`;
  if (best.score >= LEAST_SCORE) {
    const candidates = rivals.map(({ layout, evidence }) => `${layout.name} (${evidence})`).join(" or ");
    throw new UserError(`${file} fits more than one layout: ${candidates}`, {
      next: `Choose with --format ${rivals.map(({ layout }) => layout.name).join(" or --format ")}.`,
    });
  }
  const partly = best.score > 0 ? `; the nearest is ${best.layout.name}: ${best.evidence}` : "";
  throw new UnusableSource(`${file} has no layout that is known: ${found}${partly}`, {
    next:
      fields === undefined
        ? `Map its fields, such as context: ${exampleField(rows)}, or force one of ${LAYOUT_NAMES.join(", ")} with --format.`
        : `Check the mapped fields, or force one of ${LAYOUT_NAMES.join(", ")} with --format.`,
  });
}

/** Whether one value is a row of some layout. */
export function isKnownRow(value: unknown): boolean {
  return LAYOUTS.some((layout) => layout.detect([value]).score > 0.9);
}

export function requireLayout(name: string): KnownLayout {
  const known: KnownLayout | undefined = LAYOUTS.find((layout) => layout.name === name);
  if (known !== undefined) return known;
  const near = nearest(name, LAYOUT_NAMES);
  throw new UserError(
    `format ${JSON.stringify(excerpt(name, 40))} is not known; it must be one of ${LAYOUT_NAMES.join(", ")}`,
    didYouMean(near),
  );
}

/** Names in `fields` must be such that the layout (or, before detection, some layout) reads. */
export function checkFieldNames(fields: FieldMap, layouts: readonly Layout[]): void {
  const known = [...new Set(layouts.flatMap((layout) => layout.fields))];
  for (const name of Object.keys(fields)) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    throw new UserError(
      `field ${JSON.stringify(excerpt(name, 40))} cannot be mapped; known are ${known.join(", ")}`,
      didYouMean(near),
    );
  }
}

/** The row with each mapped field under Attune's name; what stood there before is hidden. */
export function mapFields(row: unknown, fields: FieldMap | undefined): unknown {
  if (fields === undefined || !isObject(row)) return row;
  const mapped: Record<string, unknown> = { ...row };
  for (const [name, source] of Object.entries(fields)) {
    const value = valueAt(row, source);
    if (value === undefined) delete mapped[name];
    else mapped[name] = value;
  }
  return mapped;
}

/** At least one sampled row must have each mapped field. */
export function checkFieldsPresent(rows: readonly unknown[], fields: FieldMap, file: string): void {
  const objects = rows.filter(isObject);
  if (objects.length === 0) return;
  for (const [name, source] of Object.entries(fields)) {
    if (objects.some((row) => valueAt(row, source) !== undefined)) continue;
    const near = nearest(
      source,
      objects.flatMap((row) => Object.keys(row)),
    );
    throw new UserError(
      `${file} has no field ${JSON.stringify(excerpt(source, 40))}, which ${name} is mapped to; its fields are ${columnsOf(rows)}`,
      { next: near === undefined ? "Correct the mapping." : `Did you mean ${near}?` },
    );
  }
}

/** A field by its name, or by a dotted path where no field has that name. */
function valueAt(row: Readonly<Record<string, unknown>>, path: string): unknown {
  if (Object.hasOwn(row, path)) return row[path];
  let value: unknown = row;
  for (const part of path.split(".")) {
    if (!isObject(value) || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  return value;
}

function columnsOf(rows: readonly unknown[]): string {
  const names = new Set(rows.filter(isObject).flatMap((row) => Object.keys(row)));
  const shown = [...names].slice(0, 12).map(printable);
  return shown.join(", ") + (names.size > 12 ? ` and ${names.size - 12} more` : "");
}

function exampleField(rows: readonly unknown[]): string {
  const first = rows.find(isObject);
  return printable(Object.keys(first ?? {})[0] ?? "dialogue_history");
}

function printable(name: string): string {
  return excerpt(toWellFormed(name), 40).replaceAll(/\p{Cc}/gu, "·");
}

function didYouMean(near: string | undefined): { readonly next?: string } {
  return near === undefined ? {} : { next: `Did you mean ${near}?` };
}
