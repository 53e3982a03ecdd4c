/** How far a download is: bytes, rate over the last seconds, time left. */

export interface DownloadProgress {
  readonly type: "progress";
  /** The file that arrives now. */
  readonly file: string;
  /** Of all files together, what was there before included. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Over about the last five seconds; 0 until there is a figure. */
  readonly bytesPerSecond: number;
  /** Infinity while the rate is 0. */
  readonly secondsLeft: number;
}

export type HubEvent =
  | DownloadProgress
  /** The listing is known: what will be fetched. */
  | {
      readonly type: "plan";
      readonly files: number;
      readonly bytesTotal: number;
      readonly bytesMissing: number;
    }
  /** Another process fetches this model; it is waited for. */
  | { readonly type: "waiting"; readonly what: string }
  | { readonly type: "retry"; readonly file: string; readonly reason: string; readonly delaySeconds: number }
  | { readonly type: "warning"; readonly message: string };

export interface ProgressMeter {
  /** `bytes` more arrived of `file`; negative when they turned out worthless. */
  add(file: string, bytes: number): void;
  finish(file: string): void;
}

const windowSeconds = 5;

/** Tells `onEvent` at most ten times a second, and at the end of each file. */
export function progressMeter(
  bytesTotal: number,
  bytesBefore: number,
  onEvent: ((event: HubEvent) => void) | undefined,
  now: () => number = () => performance.now() / 1000,
): ProgressMeter {
  let bytesDone = bytesBefore;
  let told = Number.NEGATIVE_INFINITY;
  let samples: { readonly at: number; readonly bytes: number }[] = [];
  const tell = (file: string, force: boolean): void => {
    const at = now();
    if (onEvent === undefined || (!force && at - told < 0.1)) return;
    told = at;
    samples.push({ at, bytes: bytesDone });
    // One sample from before the window stays: the rate is measured from there.
    const first = samples.findLastIndex((sample) => at - sample.at >= windowSeconds);
    if (first > 0) samples = samples.slice(first);
    const oldest = samples[0]!;
    const seconds = at - oldest.at;
    const bytesPerSecond = seconds > 0 ? Math.max(0, (bytesDone - oldest.bytes) / seconds) : 0;
    const left = Math.max(0, bytesTotal - bytesDone);
    onEvent({
      type: "progress",
      file,
      bytesDone,
      bytesTotal,
      bytesPerSecond,
      secondsLeft: left === 0 ? 0 : left / bytesPerSecond,
    });
  };
  return {
    add: (file, bytes) => {
      bytesDone += bytes;
      tell(file, false);
    },
    finish: (file) => tell(file, true),
  };
}
