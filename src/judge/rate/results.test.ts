/** What ratings say, on ratings whose answer is known. */
import { describe, expect, it } from "vitest";
import { somePredictions } from "./fixtures.contract.ts";
import type { Rating } from "./rating.ts";
import { ratingResults } from "./results.ts";

/** Every rater rates every reply; `scores` decides. */
function ratingsOf(
  prompts: number,
  raters: readonly string[],
  scores: (system: string, rater: string, i: number) => Partial<Rating>,
): Rating[] {
  return somePredictions(prompts).flatMap((prediction, i) =>
    raters.map((rater) => ({
      ...prediction,
      rater,
      fluency: 2,
      relevance: 2,
      safety: 1,
      at: "2026-01-01T00:00:00.000Z",
      ...scores(prediction.system, rater, i),
    })),
  );
}

describe("ratingResults", () => {
  it("finds the better system, with intervals, a paired test and pairs to learn from", () => {
    const ratings = ratingsOf(40, ["Anna", "Ben", "Cem"], (system, rater, i) => ({
      relevance: system.endsWith("tuned") ? 3 - (i % 4 === 3 ? 1 : 0) : 1,
      fluency: rater === "Cem" ? 2 : 3,
    }));
    const results = ratingResults(ratings, { samples: 200 });
    expect(results).toMatchObject({ ratings: 240, replies: 80, prompts: 40, tooFew: [] });
    const [base, tuned] = results.systems;
    expect(base!.means.relevance).toMatchObject({ score: 1, low: 1, high: 1 });
    expect(tuned!.means.relevance.low).toBeGreaterThan(2);
    expect(tuned!.means.overall.low).toBeLessThanOrEqual(tuned!.means.overall.score);
    expect(results.comparisons[0]).toMatchObject({
      baseline: "secret-base",
      system: "secret-tuned",
      prompts: 40,
    });
    expect(results.comparisons[0]!.overall.pValue).toBeLessThan(0.01);
    expect(results.agreement.relevance).toMatchObject({ alpha: 1, raw: 1, replies: 80, level: "ordinal" });
    expect(results.agreement.safety.alpha).toBeUndefined();
    expect(results.agreement.fluency.alpha!).toBeLessThan(0.1);
    expect(results.raters.find(({ rater }) => rater === "Cem")!.bias).toBeCloseTo(-1, 9);
    expect(results.preferences).toHaveLength(40);
    expect(results.preferences[0]).toMatchObject({
      chosen_system: "secret-tuned",
      rejected: expect.stringMatching(/^No idea/) as string,
      raters: 3,
      agreeing: 3,
    });
    const overall = results.correlations.find(
      ({ metric, aspect }) => metric === "rougeL" && aspect === "relevance",
    )!;
    expect(overall.spearman!).toBeGreaterThan(0.8);
    expect(overall.replies).toBe(80);
  });

  it("shows where raters disagree, the furthest first", () => {
    const ratings = ratingsOf(6, ["Anna", "Ben"], (_, rater, i) =>
      rater === "Ben"
        ? { safety: i === 3 ? 0 : 1, relevance: i === 5 ? 0 : 2 }
        : { relevance: i === 5 ? 3 : 2, comment: "why" },
    );
    const { disagreements } = ratingResults(ratings, { samples: 10 });
    expect(disagreements.map(({ question }) => question).sort()).toEqual(["relevance", "safety"]);
    expect(disagreements[0]!.ratings).toContainEqual({ rater: "Ben", score: 0, comment: "" });
  });

  it("an unsafe reply scores 0 over all and is never the chosen one", () => {
    const ratings = ratingsOf(5, ["Anna"], (system) =>
      system.endsWith("tuned") ? { safety: 0, fluency: 3, relevance: 3 } : { fluency: 1, relevance: 1 },
    );
    const results = ratingResults(ratings, { samples: 10 });
    expect(results.systems[1]!.means.overall.score).toBe(0);
    expect(results.preferences.every(({ chosen_system }) => chosen_system === "secret-base")).toBe(true);
    const bothBad = ratings.map((rating) => ({ ...rating, safety: 0 }));
    expect(ratingResults(bothBad, { samples: 10 }).preferences).toEqual([]);
  });

  it("leaves out pairs that raters order both ways, and ties", () => {
    const split = ratingsOf(3, ["Anna", "Ben"], (system, rater) => ({
      relevance: system.endsWith("tuned") === (rater === "Anna") ? 3 : rater === "Anna" ? 0 : 1,
    }));
    expect(ratingResults(split, { samples: 10 }).preferences).toEqual([]);
    expect(
      ratingResults(
        ratingsOf(3, ["Anna"], () => ({})),
        { samples: 10 },
      ).preferences,
    ).toEqual([]);
  });

  it("says what is too few, and survives nothing at all", () => {
    const few = ratingResults(
      ratingsOf(5, ["Anna"], () => ({})),
      { samples: 10 },
    ).tooFew;
    expect(few).toContainEqual({ what: "agreement: raters", have: 1, need: 3 });
    expect(few.map(({ what }) => what)).toContainEqual(expect.stringContaining('means of "secret-base"'));
    const nothing = ratingResults([], { samples: 10 });
    expect(nothing).toMatchObject({
      ratings: 0,
      systems: [],
      comparisons: [],
      preferences: [],
      disagreements: [],
    });
    expect(nothing.tooFew.length).toBeGreaterThan(0);
  });
});
