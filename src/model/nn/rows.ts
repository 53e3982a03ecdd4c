/** Tokens moved between the flat layout [T, ·] and views by head or of selected rows, with gathers in both directions. */
import { type Dim, type GraphBuilder, type Value, multiplyDims } from "../../compute/graph/index.ts";

/** How the heads of T real tokens stand in a padded view of B rows of S. */
export interface Padding {
  /** [B, H, S] int64: where the head of the token at each place stands in [T·H, E]; token 0's where there is none. */
  readonly queryPlaces: Value;
  /** The same for the key-value heads, [B, K, S]; the very value of `queryPlaces` where H is K. */
  readonly keyPlaces: Value;
  /** [T, H] int64: where each head of each token stands in [B·H·S, E]. */
  readonly queryTokens: Value;
  /** [T, K] int64 */
  readonly keyTokens: Value;
  /** [B, 1, S, 1] float32: 1 at real places, else 0. */
  readonly real: Value;
}

/**
 * x [T, N·E] → [B, N, S, E] by `places` [B, N, S] and back by `tokens` [T, N]: padding, and heads to the front, in one
 * gather. Padding repeats token 0; what is computed there must not reach a result, so its cotangents are zero or
 * meaningless and are not read back.
 */
export function splitHeads(g: GraphBuilder, x: Value, places: Value, tokens: Value): Value {
  const count = places.shape[1] as number;
  const [split] = g.custom(
    [x],
    () => [g.gather(headsOf(g, x, count), places)],
    ([ct]) => [gatherTokens(g, ct!, tokens)],
  );
  return split!;
}

/** x [B, N, S, E] → [T, N·E]: the real tokens. The cotangent of a padded place is exactly 0. */
export function joinHeads(g: GraphBuilder, x: Value, places: Value, tokens: Value, real: Value): Value {
  const [joined] = g.custom(
    [x],
    () => [gatherTokens(g, x, tokens)],
    ([ct]) => [g.mul(g.gather(headsOf(g, ct!, x.shape[1] as number), places), real)],
  );
  return joined!;
}

/** [T, N·E] → [T·N, E]. */
function headsOf(g: GraphBuilder, x: Value, count: number): Value {
  const [tokens, width] = x.shape as [Dim, number];
  return g.reshape(x, [multiplyDims(tokens, count), width / count]);
}

function gatherTokens(g: GraphBuilder, x: Value, tokens: Value): Value {
  const [batch, count, length, width] = x.shape as [Dim, number, Dim, number];
  const places = g.reshape(x, [multiplyDims(multiplyDims(batch, count), length), width]);
  return g.reshape(g.gather(places, tokens), [tokens.shape[0]!, count * width]);
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
