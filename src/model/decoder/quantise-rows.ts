/** Weights in 8 bits by row, without smoothing: what LLM.int8() holds and 8-bit backward products read. */

export interface RowCodes {
  /** [O, I] */
  readonly codes: Int8Array;
  /** [O]: weight ≈ code · scale of its row. */
  readonly scale: Float32Array;
}

/** Symmetric quantisation by row of W [·, I], I being `columns`. */
export function quantiseRows(weight: Float32Array, columns: number): RowCodes {
  const rows = weight.length / columns;
  const codes = new Int8Array(weight.length);
  const scale = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const from = row * columns;
    let most = 1e-12;
    let sum = 0;
    for (let i = 0; i < columns; i++) {
      const size = Math.abs(weight[from + i]!);
      if (size > most) most = size;
      sum += size;
    }
    // A weight that is no number is no code either: its row says so.
    scale[row] = Number.isNaN(sum) ? Number.NaN : most / 127;
    const inverse = 127 / most;
    // Truncating what is above 0 is half the time of Math.round.
    for (let i = 0; i < columns; i++) codes[from + i] = ((weight[from + i]! * inverse + 128.5) | 0) - 128;
  }
  return { codes, scale };
}
