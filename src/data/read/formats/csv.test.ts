import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { csvParser } from "./csv.ts";
import { isBad, type Row, type RowParserOptions } from "./rows.ts";

const OPTIONS: RowParserOptions = { rowCharacters: 10_000, damaged: () => false, note: () => {} };

function rowsOf(text: string, size = text.length, options = OPTIONS, delimiter = ","): Row[] {
  const parser = csvParser(delimiter, options);
  const rows: Row[] = [];
  for (let i = 0; i < text.length; i += size) rows.push(...parser.push(text.slice(i, i + size)));
  return [...rows, ...parser.end()];
}

const brief = (rows: readonly Row[]): unknown[] =>
  rows.map((row) =>
    isBad(row) ? `${row.rule} at ${row.line}` : { ...(row.value as object), line: row.line },
  );

describe("CSV", () => {
  test("fields may hold delimiters, quotes and line breaks, whatever the pieces are", () => {
    const field = fc.string({ unit: fc.constantFrom("a", "b", ",", '"', "\n", " ", "é", "中") });
    const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(field, field), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 30 }),
        fc.constantFrom("\n", "\r\n"),
        (rows, size, lineBreak) => {
          const lines = rows.map((row) => row.map(quote).join(",") + lineBreak);
          const values = rowsOf(`x,y${lineBreak}${lines.join("")}`, size).map(
            (row) => !isBad(row) && row.value,
          );
          expect(values).toEqual(rows.map(([x, y]) => Object.assign(Object.create(null), { x, y })));
        },
      ),
      { numRuns: 200 },
    );
  });

  test("knows the line of every row", () => {
    expect(brief(rowsOf('x,y\n1,"a\nb\nc"\n\n2,d\n', 3))).toEqual([
      { x: "1", y: "a\nb\nc", line: 2 },
      { x: "2", y: "d", line: 6 },
    ]);
  });

  test.each([
    ['x,y\n1,a\n2,"b"c\n3,d\n', "text after a closing quote"],
    ['x,y\n1,a\n2,"never closed\n3,d\n', "never closed"],
  ])("a stray quote costs its line: %j", (text) => {
    for (const size of [1, 4, 100]) {
      expect(brief(rowsOf(text, size))).toEqual([
        { x: "1", y: "a", line: 2 },
        "csv-quote at 3",
        { x: "3", y: "d", line: 4 },
      ]);
    }
  });

  test("quotes inside unquoted fields are what people wrote", () => {
    const notes: string[] = [];
    const text = 'x,y\n5" nails,a\n6" nails,b "c" d\n7,"e"\n';
    expect(brief(rowsOf(text, 3, { ...OPTIONS, note: (note) => notes.push(note) }))).toEqual([
      { x: '5" nails', y: "a", line: 2 },
      { x: '6" nails', y: 'b "c" d', line: 3 },
      { x: "7", y: "e", line: 4 },
    ]);
    expect(notes).toEqual(["rows with quotes inside unquoted fields were kept as they stand: 2"]);
  });

  test("a stray quote is found again after many good rows", () => {
    const lines = Array.from({ length: 2_000 }, (_, i) =>
      i === 700 || i === 1_500 ? `${i},"open` : `${i},"a,b"`,
    );
    const rows = rowsOf(`x,y\n${lines.join("\n")}\n`, 1_000);
    expect(rows.filter(isBad).map((row) => row.line)).toEqual([702, 1_502]);
    expect(rows.length).toBe(2_000);
  });

  test("a row with too few or too many fields is rejected", () => {
    expect(brief(rowsOf("x,y\n1\n1,2,3\n1,2\n"))).toEqual([
      "csv-columns at 2",
      "csv-columns at 3",
      { x: "1", y: "2", line: 4 },
    ]);
  });

  test("an open quote does not hold more than the limit", () => {
    const text = `x,y\n1,"${"open ".repeat(3_000)}\n${"2,a\n".repeat(10)}`;
    const rows = rowsOf(text, 500);
    expect(rows.filter(isBad).map((row) => [row.line, row.rule])).toEqual([[2, "row-too-long"]]);
  });

  test("columns called __proto__ or twice the same do no harm", () => {
    const notes: string[] = [];
    const [row] = rowsOf("__proto__,x,x\n1,2,3\n", 50, { ...OPTIONS, note: (note) => notes.push(note) });
    expect(Object.entries(!isBad(row!) ? (row!.value as object) : {})).toEqual([
      ["__proto__", "1"],
      ["x", "2"],
      ["x 2", "3"],
    ]);
    expect(notes).toEqual(["column `x` comes twice; the later one is called `x 2`"]);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  test("tabs", () => {
    expect(brief(rowsOf("x\ty\na,b\tc\n", 4, OPTIONS, "\t"))).toEqual([{ x: "a,b", y: "c", line: 2 }]);
  });
});
