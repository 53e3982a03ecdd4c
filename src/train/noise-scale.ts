/**
 * The simple gradient noise scale, tr(Σ) / |G|²: the batch size up to which a larger batch saves steps in proportion.
 * Source: McCandlish et al., 2018, "An Empirical Model of Large-Batch Training", appendix A.1. It takes micro-batches for
 * random parts of the batch; ours hold rows of similar length, so what differs by length counts as noise: an upper bound.
 */

export interface NoiseScaleState {
  /** Averages over the steps so far: of tr(Σ), in replies, and of |G|²; each still short of its weight. */
  readonly noise: number;
  readonly signal: number;
  /** How much of an average they are: 1 − decayⁿ after n steps. */
  readonly weight: number;
}

export interface MeasuredGradients {
  /** Of the whole batch, before clipping. */
  readonly squaredNorm: number;
  /** Replies in the batch. */
  readonly replies: number;
  /**
   * Of each micro-batch: the share of the batch's loss weight that it holds, and the squared norm of its part of the
   * batch's gradient. The parts sum to the batch's gradient.
   */
  readonly parts: readonly { readonly share: number; readonly squaredNorm: number }[];
}

/** Of about the last twenty steps: the scale grows as the loss falls. */
const DECAY = 0.95;

export const noNoiseYet: NoiseScaleState = { noise: 0, signal: 0, weight: 0 };

/**
 * With one more step. A micro-batch of a share s of the batch estimates the gradient with 1/s times the batch's variance;
 * averaged over micro-batches by their shares, k of them stand for a batch of a k-th of the replies. The two sizes give
 * unbiased estimates of both figures, each averaged by itself: a ratio of single steps would not be. A batch of one
 * micro-batch says nothing.
 */
export function withGradients(
  state: NoiseScaleState,
  { squaredNorm: large, replies, parts }: MeasuredGradients,
): NoiseScaleState {
  const learning = parts.filter(({ share }) => share > 0);
  const k = learning.length;
  if (k < 2) return state;
  const small = learning.reduce((sum, { share, squaredNorm }) => sum + squaredNorm / share, 0);
  const signal = (k * large - small) / (k - 1);
  const noise = ((small - large) * replies) / (k - 1);
  return {
    noise: DECAY * state.noise + (1 - DECAY) * noise,
    signal: DECAY * state.signal + (1 - DECAY) * signal,
    weight: DECAY * state.weight + (1 - DECAY),
  };
}

/** In replies; `undefined` before the first measurement, and where the gradient drowns in the noise that was measured. */
export function noiseScale({ noise, signal }: NoiseScaleState): number | undefined {
  return signal > 0 && noise >= 0 ? noise / signal : undefined;
}
