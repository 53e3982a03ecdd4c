/** Another attempt after a failure that may pass, waiting twice as long each time. */
import { setTimeout as sleep } from "node:timers/promises";
import { CancelledError, UserError } from "../../util/index.ts";
import { TransientError } from "./http.ts";

export interface RetryOptions {
  /** Attempts in a row without progress. */
  readonly attempts: number;
  /** Before the second attempt, milliseconds; then doubled, up to half a minute. */
  readonly firstDelay: number;
  readonly signal?: AbortSignal;
  readonly onRetry?: (reason: string, delay: number) => void;
  /** What to do when it stays broken. */
  readonly next?: string;
}

/** `attempt` calls `progressed` whenever it got somewhere, which starts the count anew. */
export async function withRetries<T>(
  what: string,
  options: RetryOptions,
  attempt: (progressed: () => void) => Promise<T>,
): Promise<T> {
  let failures = 0;
  // A server that sends a little and breaks off for ever must come to an end too.
  for (let total = 0; total < 1000; total++) {
    try {
      return await attempt(() => {
        failures = 0;
      });
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      failures += 1;
      if (failures >= options.attempts) {
        throw new UserError(`${what} failed ${failures} times: ${error.message}`, {
          next: options.next ?? "Check the connection, HF_ENDPOINT and proxy settings, or try again later.",
          cause: error,
        });
      }
      const delay = error.retryAfter ?? Math.min(options.firstDelay * 2 ** (failures - 1), 30_000);
      options.onRetry?.(error.message, delay);
      await sleep(delay, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(
        () => {
          throw new CancelledError(what);
        },
      );
    }
  }
  throw new UserError(`${what} broke off 1,000 times`, { next: "Try again later, or use another mirror." });
}
