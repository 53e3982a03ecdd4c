/** Tokens moved between the flat layout [T, ·] and views by head or of selected rows, with gathers in both directions. */
import {
  type Dim,
  type GraphBuilder,
  type Shape,
  type Value,
  multiplyDims,
} from "../../compute/graph/index.ts";

/** How the heads of T tokens stand in a padded view of B rows of S; a token may stand in several rows. */
export interface Padding {
  /** [B, H, S] int64: where the head of the token at each place stands in [T·H, E]; token 0's where there is none. */
  readonly queryPlaces: Value;
  /** The same for the key-value heads, [B, K, S]; the very value of `queryPlaces` where H is K. */
  readonly keyPlaces: Value;
  /** [T, H] int64: the first place of each head of each token in [B·H·S, E]. */
  readonly queryTokens: Value;
  /** [T, K] int64: the same for key-value heads in [B·K·S, E]; behind those stand the U sums. */
  readonly keyTokens: Value;
  /** [N, U] int64: the up to N places in [B·K·S, E] of each key-value head of the shared tokens, U in all. */
  readonly sharedPlaces: Value;
  /** [N, U, 1] float32: 1 where there is such a place, else 0. */
  readonly sharedReal: Value;
  /** [B, 1, S, 1] float32: 1 at the first place of each token, else 0. */
  readonly firstPlace: Value;
}

/**
 * Queries [T, H·E] → [B, H, S, E]: padding, and heads to the front, in one gather. Padding repeats token 0, and a shared
 * token stands in each of its rows; only what is computed at a token's first place is read back, so the cotangents of
 * all other places are zero.
 */
export function splitQueries(
  g: GraphBuilder,
  x: Value,
  { queryPlaces, queryTokens }: Pick<Padding, "queryPlaces" | "queryTokens">,
): Value {
  const [split] = g.custom(
    [x],
    () => [gatherHeads(g, x, queryPlaces)],
    ([ct]) => [gatherTokens(g, placesOf(g, ct!), queryTokens, ct!.shape)],
  );
  return split!;
}

/** Keys or values [T, K·E] → [B, K, S, E]. The cotangents of a shared token's places are summed. */
export function splitKeys(
  g: GraphBuilder,
  x: Value,
  {
    keyPlaces,
    keyTokens,
    sharedPlaces,
    sharedReal,
  }: Omit<Padding, "queryPlaces" | "queryTokens" | "firstPlace">,
): Value {
  const [split] = g.custom(
    [x],
    () => [gatherHeads(g, x, keyPlaces)],
    ([ct]) => {
      const places = placesOf(g, ct!);
      const sums = g.sum(g.mul(g.gather(places, sharedPlaces), sharedReal), [0]);
      return [gatherTokens(g, g.concat([places, sums], 0), keyTokens, ct!.shape)];
    },
  );
  return split!;
}

/** x [B, H, S, E] → [T, H·E]: what stands at each token's first place. The cotangent of any other place is exactly 0. */
export function joinHeads(
  g: GraphBuilder,
  x: Value,
  { queryPlaces, queryTokens, firstPlace }: Pick<Padding, "queryPlaces" | "queryTokens" | "firstPlace">,
): Value {
  const [joined] = g.custom(
    [x],
    () => [gatherTokens(g, placesOf(g, x), queryTokens, x.shape)],
    ([ct]) => [g.mul(gatherHeads(g, ct!, queryPlaces), firstPlace)],
  );
  return joined!;
}

/** [T, N·E] → [B, N, S, E] */
function gatherHeads(g: GraphBuilder, x: Value, places: Value): Value {
  const [tokens, width] = x.shape as [Dim, number];
  const count = places.shape[1] as number;
  return g.gather(g.reshape(x, [multiplyDims(tokens, count), width / count]), places);
}

/** [B, N, S, E] → [B·N·S, E] */
function placesOf(g: GraphBuilder, x: Value): Value {
  return g.reshape(x, [x.shape.slice(0, 3).reduce(multiplyDims), x.shape[3]!]);
}

/** [·, E] by `tokens` [T, N] → [T, N·E], for a view of the shape [B, N, S, E]. */
function gatherTokens(g: GraphBuilder, places: Value, tokens: Value, view: Shape): Value {
  return g.reshape(g.gather(places, tokens), [tokens.shape[0]!, multiplyDims(view[1]!, view[3]!)]);
}

/** Which tokens are selected, and the way back. */
export interface Selection {
  /** [R] int64: the token of each selected row. A repeated token may stand only in rows of weight 0. */
  readonly rows: Value;
  /** [T] int64: the row that selected each token; 0 where none did. */
  readonly rowOfToken: Value;
  /** [T, 1] float32: 1 where a row selected the token, else 0. */
  readonly tokenSelected: Value;
}

/** x [T, W] → [R, W]. */
export function selectRows(g: GraphBuilder, x: Value, { rows, rowOfToken, tokenSelected }: Selection): Value {
  const [selected] = g.custom(
    [x],
    () => [g.gather(x, rows)],
    ([ct]) => [g.mul(g.gather(ct!, rowOfToken), tokenSelected)],
  );
  return selected!;
}
