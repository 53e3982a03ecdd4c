/** A YAML text with the place of every key and value, so that an error can point at them. */
import { LineCounter, isMap, isScalar, isSeq, parseDocument } from "yaml";
import { UserError } from "../util/index.ts";

export interface PlacedDocument {
  readonly value: unknown;
  /** `file:line:column` of the value at `path`, or of its nearest parent that is there. */
  place(path: readonly PropertyKey[]): string;
  /** Every leaf, as dotted path with its place. */
  leaves(): Map<string, string>;
}

/** Parses YAML 1.2 (JSON is a part of it). Aliases are bounded by the parser; a syntax error is a `UserError`. */
export function parseYaml(text: string, file: string): PlacedDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const [error] = document.errors;
  if (error !== undefined) {
    throw new UserError(`not valid YAML: ${error.message.split("\n")[0]}`, {
      at: at(error.pos[0]),
      next: "Mend the line; indentation is by spaces.",
    });
  }
  const offsetOf = (path: readonly PropertyKey[]): number => {
    let node: unknown = document.contents;
    let offset = rangeStart(node);
    for (const key of path) {
      if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
        if (pair === undefined) return offset;
        offset = rangeStart(pair.key);
        node = pair.value;
      } else if (isSeq(node)) {
        node = node.items[Number(key)];
        offset = node === undefined ? offset : rangeStart(node);
      } else return offset;
    }
    return offset;
  };
  const leaves = (): Map<string, string> => {
    const found = new Map<string, string>();
    const walk = (node: unknown, path: readonly string[]): void => {
      if (isMap(node)) {
        for (const { key, value } of node.items) if (isScalar(key)) walk(value, [...path, String(key.value)]);
      } else if (path.length > 0) found.set(path.join("."), at(offsetOf(path)));
    };
    walk(document.contents, []);
    return found;
  };
  return {
    value: document.toJS({ maxAliasCount: 100 }) as unknown,
    place: (path) => at(offsetOf(path)),
    leaves,
  };
}

function rangeStart(node: unknown): number {
  const range = (node as { range?: readonly number[] } | null | undefined)?.range;
  return range?.[0] ?? 0;
}
