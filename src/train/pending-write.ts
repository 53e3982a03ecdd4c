/** A write that goes on beside the steps of training: waited for before the next one, its failure told in time. */

export interface PendingWrite {
  /** Takes on a write; the one before it must be done. */
  start(written: Promise<unknown>): void;
  /** Throws what the write threw, if it has ended so. */
  throwIfFailed(): void;
  /** Waits; throws what the write threw. */
  done(): Promise<void>;
  /** Waits; never throws. */
  settled(): Promise<void>;
}

export function pendingWrite(): PendingWrite {
  let pending: Promise<void> = Promise.resolve();
  let failure: { readonly error: unknown } | undefined;
  const throwIfFailed = (): void => {
    if (failure !== undefined) throw failure.error;
  };
  return {
    start: (written) => {
      pending = written.then(
        () => {},
        (error: unknown) => {
          failure = { error };
        },
      );
    },
    throwIfFailed,
    done: async () => {
      await pending;
      throwIfFailed();
    },
    settled: () => pending,
  };
}
