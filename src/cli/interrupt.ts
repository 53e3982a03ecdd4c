/** Ctrl-C and a closed pipe as an AbortSignal: the first asks the work to end well, a second one ends the process. */

export const interruptedExitCode = 130;

const atWork = new Set<AbortController>();

/** Aborts on SIGINT, SIGTERM, or when nobody reads the output any more; `onFirst` is told at the first signal. */
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
  atWork.add(controller);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off("SIGINT", handle);
      process.off("SIGTERM", handle);
      atWork.delete(controller);
    },
  };
}

/** The reader of a pipe is gone: long work ends as after Ctrl-C (a checkpoint is saved), anything else at once. */
export function outputClosed(): void {
  if (atWork.size === 0) process.exit(0);
  for (const controller of atWork) controller.abort();
}
