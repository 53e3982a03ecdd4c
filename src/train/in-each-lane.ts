/** Micro-batches side by side: each lane of the engine takes its own, one after the other. */
import { type Sequence, inLanes } from "../model/decoder/index.ts";
import type { TrainingEngine } from "./engine.ts";

/**
 * Results in the order of the micro-batches, and which lane has which is a matter of their lengths alone: the same run
 * adds up the same numbers in the same order.
 */
export async function inEachLane<T>(
  { lanes }: Pick<TrainingEngine, "lanes">,
  microBatches: readonly (readonly Sequence[])[],
  compute: (microBatch: readonly Sequence[], index: number, lane: number) => Promise<T>,
): Promise<readonly T[]> {
  const results: T[] = [];
  let failing = false;
  const computed = await Promise.allSettled(
    inLanes(microBatches, lanes).map(async (indices, lane) => {
      for (const index of indices) {
        // What another lane failed at is not made good by the rest of this one.
        if (failing) return;
        try {
          results[index] = await compute(microBatches[index]!, index, lane);
        } catch (error) {
          failing = true;
          throw error;
        }
      }
    }),
  );
  // Not before all lanes have come to rest.
  const failed = computed.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
  return results;
}
