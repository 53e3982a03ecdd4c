/** Rows moved between the flat layout [T, ·] and padded or selected views, with gathers in both directions. */
import { type GraphBuilder, type Value, multiplyDims } from "../../compute/graph/index.ts";

/** How T real tokens stand in a padded view of B rows of S. */
export interface Padding {
  /** [B, S] int64: the flat token at each place; 0 where there is none. */
  readonly padIndex: Value;
  /** [B, S, 1] float32: 1 at real places, else 0. */
  readonly padMask: Value;
  /** [T] int64: the place b·S + s of each flat token. */
  readonly placeIndex: Value;
}

/**
 * x [T, W] → [B, S, W]. Padding repeats token 0; what is computed there must not reach a result,
 * so its cotangents are zero or meaningless and are not read back.
 */
export function padRows(g: GraphBuilder, x: Value, { padIndex, placeIndex }: Padding): Value {
  const [padded] = g.custom(
    [x],
    () => [g.gather(x, padIndex)],
    ([ct]) => [g.gather(flattenPlaces(g, ct!), placeIndex)],
  );
  return padded!;
}

/** x [B, S, W] → [T, W]: the real tokens. The cotangent of a padded place is exactly 0. */
export function unpadRows(g: GraphBuilder, x: Value, { padIndex, padMask, placeIndex }: Padding): Value {
  const [flat] = g.custom(
    [x],
    () => [g.gather(flattenPlaces(g, x), placeIndex)],
    ([ct]) => [g.mul(g.gather(ct!, padIndex), padMask)],
  );
  return flat!;
}

function flattenPlaces(g: GraphBuilder, x: Value): Value {
  return g.reshape(x, [multiplyDims(x.shape[0]!, x.shape[1]!), x.shape[2]!]);
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
