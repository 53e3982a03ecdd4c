/** What the checks of feeds and outputs accept and how they refuse. */
import { expect, test } from "vitest";
import type { Value } from "../graph/index.ts";
import { float32 } from "../tensor/index.ts";
import { physicalCores } from "./cores.ts";
import { checkFeeds } from "./feeds.ts";
import { copyPieces } from "./pieces.ts";

const value = (name: string, ...shape: Value["shape"]): Value => ({ name, dtype: "float32", shape });

test("binds each symbol once, from whichever input has it bare, in any order", () => {
  const inputs = [value("mask", "S", "P+S"), value("past", "P")];
  const feeds = { mask: float32([2, 5], Array(10).fill(0)), past: float32([3], [0, 0, 0]) };
  expect(checkFeeds("p", inputs, feeds)).toEqual(
    new Map([
      ["S", 2],
      ["P", 3],
    ]),
  );
  expect(() => checkFeeds("p", inputs, { ...feeds, past: float32([1], [0]) })).toThrow(
    "p: the input mask: float32[S, P+S] got float32[2, 5]; P+S is 3",
  );
});

test("pieces are copied only when all of them fit", () => {
  const target = new Float32Array(3);
  copyPieces("y", Float32Array.of(1, 2, 3), [target], Int32Array.of(0, 1, 0, 2));
  expect([...target]).toEqual([2, 3, 0]);
  for (const bad of [
    [0, 0, 2, 2],
    [0, 2, 0, 2],
    [0, -1, 0, 1],
    [0, 0, 0, -1],
    [1, 0, 0, 1],
  ]) {
    const pieces = Int32Array.from([0, 0, 0, 1, ...bad]);
    expect(() => copyPieces("y", Float32Array.of(7, 8, 9), [target], pieces)).toThrow("does not fit");
    expect([...target]).toEqual([2, 3, 0]);
  }
});

test("there is a physical core", () => {
  expect(physicalCores()).toBeGreaterThanOrEqual(1);
});
