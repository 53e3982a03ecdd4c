/** Where the time of a start goes: seconds by name, each from the end of the one before it. */

/** Seconds by what was done, in order. */
export type Laps = Readonly<Record<string, number>>;

export interface Stopwatch {
  /** What was done since the lap before; the same name again adds up. */
  lap(name: string): void;
  /** Those so far. */
  laps(): Laps;
}

export function stopwatch(now: () => number = () => performance.now()): Stopwatch {
  const seconds: Record<string, number> = {};
  let from = now();
  return {
    lap: (name) => {
      const at = now();
      seconds[name] = (seconds[name] ?? 0) + (at - from) / 1000;
      from = at;
    },
    laps: () => ({ ...seconds }),
  };
}
