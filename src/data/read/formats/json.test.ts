import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonDocumentParser, type DocumentShape } from "./json-document.ts";
import { findJsonFault } from "./json-error.ts";
import { jsonLinesParser } from "./json-lines.ts";
import { isBad, type Row, type RowParser, type RowParserOptions } from "./rows.ts";

const OPTIONS: RowParserOptions = { rowCharacters: 1_000, damaged: () => false, note: () => {} };

/** The rows of `text`, pushed in pieces of `size` characters. */
function rowsOf(parser: RowParser, text: string, size: number): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < text.length; i += size) rows.push(...parser.push(text.slice(i, i + size)));
  return [...rows, ...parser.end()];
}

const brief = (rows: readonly Row[]): unknown[] =>
  rows.map((row) => (isBad(row) ? `${row.rule} at ${row.line}:${row.column ?? ""}` : row.value));

function document(text: string, shape: DocumentShape = "array", size = text.length): unknown[] {
  return brief(rowsOf(jsonDocumentParser(shape, OPTIONS), text, size));
}

describe("findJsonFault", () => {
  test("finds a fault in exactly the texts that JSON.parse refuses", () => {
    const text = fc.oneof(
      fc.json(),
      fc
        .tuple(fc.json(), fc.nat(), fc.constantFrom("", '"', "}", "]", ",", "\u0000", "\\", "1", "e", " "))
        .map(([json, at, extra]) => {
          const place = at % (json.length + 1);
          return json.slice(0, place) + extra + json.slice(place + (extra === "" ? 1 : 0));
        }),
    );
    fc.assert(
      fc.property(text, (json) => {
        let valid = true;
        try {
          JSON.parse(json);
        } catch {
          valid = false;
        }
        const { offset, reason } = findJsonFault(json);
        expect(offset).toBeLessThanOrEqual(json.length);
        // For valid text the walk comes to the end and has nothing to say.
        if (valid) expect([offset, /is not valid|should follow/.test(reason)]).toEqual([json.length, true]);
        else expect(reason).not.toBe("it is not valid JSON");
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['{"a":tru}', 5, 'a value expected, found "t"'],
    ['{"a":1,}', 7, 'a field name in double quotes expected, found "}"'],
    ['{"a" 1}', 5, '":" expected, found "1"'],
    ['["x', 3, "it ends inside a string"],
    ['["a\u0000"]', 3, "a NUL byte inside a string"],
    ['["\\x"]', 2, '"\\x" is no escape that JSON knows'],
    ['{"a":[1,2}', 9, '"," or "]" expected, found "}"'],
    ["{} x", 3, 'the end of the row expected, found "x"'],
  ])("%j: offset %i, %s", (text, offset, reason) => {
    expect(findJsonFault(text)).toEqual({ offset, reason });
  });

  test("is not deep where the text is", () => {
    expect(findJsonFault("[".repeat(1_000_000)).offset).toBe(1_000_000);
  });
});

describe("JSON lines", () => {
  test("a broken line costs itself only, whatever the pieces are", () => {
    const text = '{"a":1}\r\n\n{"a":}\n  \n{"b":"x\u0000y"}\n[3]';
    for (const size of [1, 2, 5, 100]) {
      expect(brief(rowsOf(jsonLinesParser(OPTIONS), text, size))).toEqual([
        { a: 1 },
        "json-syntax at 3:6",
        "json-syntax at 5:8",
        [3],
      ]);
    }
  });

  test("a line beyond the limit is not held", () => {
    const text = `{"a":1}\n{"b":"${"x".repeat(5_000)}"}\n{"c":3}\n`;
    for (const size of [7, 100, 10_000]) {
      expect(brief(rowsOf(jsonLinesParser(OPTIONS), text, size))).toEqual([
        { a: 1 },
        "row-too-long at 2:",
        { c: 3 },
      ]);
    }
  });
});

describe("JSON documents", () => {
  test("an array gives its elements, whatever the pieces and the spacing are", () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 6 }),
        fc.nat({ max: 4 }),
        fc.integer({ min: 1, max: 40 }),
        (rows, space, size) => {
          const parser = jsonDocumentParser("array", { ...OPTIONS, rowCharacters: 1_000_000 });
          expect(brief(rowsOf(parser, JSON.stringify(rows, undefined, space), size))).toEqual(
            JSON.parse(JSON.stringify(rows)),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  test("an object gives its members with their keys, or the lists inside it", () => {
    const members = rowsOf(jsonDocumentParser("members", OPTIONS), '{"a\\"1": {"x": 1}, "b": 2}', 3);
    expect(members).toMatchObject([
      { key: 'a"1', value: { x: 1 }, row: 1, column: 10 },
      { key: "b", value: 2, row: 2 },
    ]);
    const notes: string[] = [];
    const parser = jsonDocumentParser("wrapped", { ...OPTIONS, note: (note) => notes.push(note) });
    const text = '{"version": "1", "train": [{"x": 1}, {"x": 2}], "meta": {"y": [1]}, "dev": [{"x": 3}]}';
    expect(brief(rowsOf(parser, text, 4))).toEqual([{ x: 1 }, { x: 2 }, { x: 3 }]);
    expect(notes).toEqual(["fields beside the rows were not read as rows: `version`, `meta`"]);
  });

  test("objects over several lines, one after another", () => {
    expect(document('{\n "a": 1\n}\n{\n "a": "}{"\n}\n', "sequence", 3)).toEqual([{ a: 1 }, { a: "}{" }]);
  });

  test("a broken element costs itself", () => {
    expect(document('[{"a":1}, {"a":tru}, {"a":3}]')).toEqual([{ a: 1 }, "json-syntax at 1:16", { a: 3 }]);
    expect(document('[{"a":1},,{"a":3},]')).toEqual([{ a: 1 }, "json-syntax at 1:10", { a: 3 }]);
    expect(document('[{"a":1}\n, {"a"\n:\n:2}, {"a":3}]')).toEqual([
      { a: 1 },
      "json-syntax at 4:1",
      { a: 3 },
    ]);
  });

  test("a missing quote or brace costs one element where the rows are indented", () => {
    const rows = [
      { a: "x", b: [1] },
      { a: "y", b: [{ c: 2 }] },
      { a: "z", b: [] },
      { a: "w", b: [] },
    ];
    const text = JSON.stringify(rows, undefined, 2);
    const noQuote = text.replace('"y"', '"y');
    const noBrace = text.replace(/\n {4}\]\n {2}\}/, "\n    ]");
    for (const size of [1, 7, 1_000]) {
      expect(document(noQuote, "array", size)).toEqual([rows[0], "json-syntax at 8:3", rows[2], rows[3]]);
      expect(document(noBrace, "array", size)).toEqual(["json-syntax at 2:3", rows[1], rows[2], rows[3]]);
    }
    const members = JSON.stringify({ d1: rows[0], d2: rows[1], d3: rows[2] }, undefined, 2);
    expect(document(members.replace('"y"', '"y'), "members")).toEqual([
      rows[0],
      "json-syntax at 8:9",
      rows[2],
    ]);
  });

  test("says that the document is cut, or goes on after its end", () => {
    expect(document('[{"a":1}, {"a"')).toEqual([{ a: 1 }, "json-cut at 1:11"]);
    expect(document('[{"a":1},')).toEqual([{ a: 1 }, "json-cut at 1:10"]);
    expect(document('[{"a":1}] [2]')).toEqual([{ a: 1 }, "json-syntax at 1:11"]);
  });

  test("an element beyond the limit is not held", () => {
    const text = `[{"a":1},{"b":"${"x".repeat(5_000)}"},{"c":3}]`;
    for (const size of [7, 10_000])
      expect(document(text, "array", size)).toEqual([{ a: 1 }, "row-too-long at 1:10", { c: 3 }]);
  });
});
