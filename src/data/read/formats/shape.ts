/** What the rows of a JSON document that begins with "{" are: itself, its members, or a list inside it. */
import { jsonDocumentParser, type DocumentShape } from "./json-document.ts";
import { isBad, type Row } from "./rows.ts";

/** The document as an object when the sample holds all of it, and nothing else. */
export function sampleObject(sample: string, whole: boolean): object | undefined {
  if (!whole) return undefined;
  try {
    const value: unknown = JSON.parse(sample);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

export function findRowShape(
  sample: string,
  whole: boolean,
  isRow: (value: unknown) => boolean,
): DocumentShape {
  if (sample.trimStart().startsWith("[")) return "array";
  const one = sampleObject(sample, whole);
  if (one !== undefined) {
    if (isRow(one)) return "single";
    const values: readonly unknown[] = Object.values(one);
    if (values.some((value) => Array.isArray(value) && value.some(isRow))) return "wrapped";
    return values.some(isRow) ? "members" : "single";
  }
  const first = firstValues(sample, "sequence");
  if (first.length > 0) return "sequence";
  // The document is larger than the sample: its first member that is no scalar decides.
  const opening =
    /^\s*\{\s*(?:"(?:[^"\\]|\\.){0,500}"\s*:\s*(?:"(?:[^"\\]|\\.){0,5000}"|[-\d.eE+]+|true|false|null)\s*,\s*){0,200}"(?:[^"\\]|\\.){0,500}"\s*:\s*([[{])/.exec(
      sample,
    );
  return opening?.[1] === "[" ? "wrapped" : "members";
}

function firstValues(sample: string, shape: DocumentShape): readonly Row[] {
  const parser = jsonDocumentParser(shape, {
    rowCharacters: sample.length + 1,
    damaged: () => false,
    note: () => {},
  });
  return parser.push(sample).filter((row) => !isBad(row));
}
