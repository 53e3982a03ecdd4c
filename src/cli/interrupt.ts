/** Ctrl-C as an AbortSignal: the first asks the work to end well, a second one ends the process. */

export const interruptedExitCode = 130;

/** Aborts on SIGINT or SIGTERM; `onFirst` is told at the first. */
export function interruptSignal(onFirst?: () => void): {
  readonly signal: AbortSignal;
  readonly dispose: () => void;
} {
  const controller = new AbortController();
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(interruptedExitCode);
    onFirst?.();
    controller.abort();
  };
  process.on("SIGINT", handle);
  process.on("SIGTERM", handle);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off("SIGINT", handle);
      process.off("SIGTERM", handle);
    },
  };
}
