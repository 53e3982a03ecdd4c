/** Agreement and correlation against the figures of krippendorff, scikit-learn and SciPy. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Level, cohenKappa, krippendorffAlpha, pearson, rawAgreement, spearman } from "./agreement.ts";

interface Golden {
  readonly alphas: readonly ({ readonly units: readonly (readonly number[])[] } & Readonly<
    Record<Level, number>
  >)[];
  readonly kappas: readonly {
    readonly a: readonly number[];
    readonly b: readonly number[];
    readonly none: number;
    readonly linear: number;
    readonly quadratic: number;
  }[];
  readonly correlations: readonly {
    readonly a: readonly number[];
    readonly b: readonly number[];
    readonly pearson: number;
    readonly spearman: number;
  }[];
}

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/metrics/agreement.json", import.meta.url), "utf8"),
) as Golden;

describe("Krippendorff's alpha", () => {
  it.each(golden.alphas.map((entry, i) => [i, entry] as const))(
    "case %i, missing ratings included",
    (_, entry) => {
      for (const level of ["nominal", "ordinal", "interval"] as const) {
        expect(krippendorffAlpha(entry.units, level)).toBeCloseTo(entry[level], 9);
      }
    },
  );

  it("is not defined without two ratings of one unit, or when everyone always says the same", () => {
    expect(krippendorffAlpha([], "nominal")).toBeUndefined();
    expect(krippendorffAlpha([[1], [2], []], "ordinal")).toBeUndefined();
    expect(
      krippendorffAlpha(
        [
          [1, 1],
          [1, 1, 1],
        ],
        "interval",
      ),
    ).toBeUndefined();
  });

  it("is 1 under full agreement and below 0 where raters contradict each other", () => {
    expect(
      krippendorffAlpha(
        [
          [0, 0],
          [3, 3],
          [1, 1],
        ],
        "ordinal",
      ),
    ).toBe(1);
    expect(
      krippendorffAlpha(
        [
          [0, 1],
          [1, 0],
        ],
        "nominal",
      ),
    ).toBeLessThan(0);
  });
});

describe("Cohen's kappa", () => {
  it.each(golden.kappas.map((entry, i) => [i, entry] as const))("case %i", (_, { a, b, ...expected }) => {
    for (const weights of ["none", "linear", "quadratic"] as const) {
      expect(cohenKappa(a, b, weights)).toBeCloseTo(expected[weights], 9);
    }
  });

  it("is not defined for nothing or a single value, and refuses lists of different lengths", () => {
    expect(cohenKappa([], [])).toBeUndefined();
    expect(cohenKappa([1, 1], [1, 1], "quadratic")).toBeUndefined();
    expect(() => cohenKappa([1], [1, 2])).toThrow("1 ratings against 2");
  });
});

describe("correlation", () => {
  it.each(golden.correlations.map((entry, i) => [i, entry] as const))(
    "case %i, ties included",
    (_, entry) => {
      expect(pearson(entry.a, entry.b)).toBeCloseTo(entry.pearson, 9);
      expect(spearman(entry.a, entry.b)).toBeCloseTo(entry.spearman, 9);
    },
  );

  it("is not defined where one side does not vary", () => {
    expect(pearson([1, 1, 1], [1, 2, 3])).toBeUndefined();
    expect(spearman([2], [3])).toBeUndefined();
  });
});

it("raw agreement is the share of equal pairs", () => {
  expect(rawAgreement([[1, 1, 2], [3], [0, 0]])).toBeCloseTo(2 / 4, 12);
  expect(rawAgreement([[1]])).toBeUndefined();
});
