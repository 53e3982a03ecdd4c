/** Facts that a customer states and a later reply has to know: numbers of orders, amounts, dates, names. */

/** Words that stand for themselves: with two digits or more, or an English name in capitals within a sentence. */
const fact =
  /[\p{L}\p{N}]*\d[\p{L}\p{N}]*(?:[-./:]?[\p{L}\p{N}]*\d[\p{L}\p{N}]*)+|(?<=[\p{Ll},] )\p{Lu}\p{Ll}{2,}/gu;

export function factsIn(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(fact)].map(([word]) => word.toLowerCase()));
}

/**
 * Of the facts in `early` that `reference` names and `later` does not: how many there are, and how many of them the
 * prediction names.
 */
export function factRecall(
  early: readonly string[],
  later: readonly string[],
  reference: string,
  prediction: string,
): { readonly asked: number; readonly recalled: number } {
  const [expected, repeated] = [reference.toLowerCase(), later.join("\n").toLowerCase()];
  const said = prediction.toLowerCase();
  const asked = [...factsIn(early.join("\n"))].filter(
    (word) => expected.includes(word) && !repeated.includes(word),
  );
  return { asked: asked.length, recalled: asked.filter((word) => said.includes(word)).length };
}
