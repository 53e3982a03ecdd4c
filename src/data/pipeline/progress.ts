/** Progress of a preparation: which phase, how far, how fast, how long still. */

/** `look` is the first look at the data, where a rule needs one. */
export type Phase = "look" | "read" | "split" | "write" | "check";

export interface PrepareProgress {
  readonly phase: Phase;
  /** Rows this phase has done, and how many it will do where that is known. */
  readonly done: number;
  readonly total: number | undefined;
  /** [0, 1] of this phase, where known. */
  readonly fraction: number | undefined;
  /** Rows a second in this phase. */
  readonly rate: number;
  readonly secondsLeft: number | undefined;
}

/** Calls `report` at most every `intervalSeconds`, and once at the end of each phase. */
export class ProgressClock {
  readonly #report: ((progress: PrepareProgress) => void) | undefined;
  readonly #intervalSeconds: number;
  #phase: Phase = "read";
  #total: number | undefined;
  #started = 0;
  #last = 0;
  #done = 0;
  #fraction: number | undefined;

  constructor(report: ((progress: PrepareProgress) => void) | undefined, intervalSeconds = 0.2) {
    this.#report = report;
    this.#intervalSeconds = intervalSeconds;
  }

  start(phase: Phase, total?: number): void {
    this.#phase = phase;
    this.#total = total;
    this.#started = this.#last = performance.now();
    this.#done = 0;
    this.#fraction = undefined;
  }

  /** The share of the input read so far, where rows in total are not known. */
  setFraction(fraction: number): void {
    this.#fraction = fraction;
  }

  /** One step of a phase that counts no rows. */
  advance(fraction: number | undefined): void {
    this.#fraction = fraction;
    const now = performance.now();
    if (now - this.#last < this.#intervalSeconds * 1000) return;
    this.#last = now;
    this.#emit(now);
  }

  tick(): void {
    this.#done += 1;
    if (this.#report === undefined || (this.#done & 0x3f) !== 0) return;
    const now = performance.now();
    if (now - this.#last < this.#intervalSeconds * 1000) return;
    this.#last = now;
    this.#emit(now);
  }

  end(): void {
    this.#fraction = 1;
    this.#total = this.#done;
    this.#emit(performance.now());
  }

  #emit(now: number): void {
    const seconds = (now - this.#started) / 1000;
    const fraction = this.#total === undefined ? this.#fraction : this.#done / Math.max(1, this.#total);
    const secondsLeft =
      fraction === undefined || fraction <= 0 ? undefined : (seconds * (1 - fraction)) / fraction;
    this.#report?.({
      phase: this.#phase,
      done: this.#done,
      total: this.#total,
      fraction,
      rate: seconds === 0 ? 0 : this.#done / seconds,
      secondsLeft,
    });
  }
}
