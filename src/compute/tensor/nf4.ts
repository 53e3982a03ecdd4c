/** The 16 values of NF4, which divide a normal distribution into parts of equal mass (Dettmers et al., 2023, appendix E). */

/** In ascending order, as float32; the code of a value is its index. */
export const nf4Values = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);
