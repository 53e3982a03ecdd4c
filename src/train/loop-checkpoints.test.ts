/** Checkpoints are written while the loop goes on: waited for in time, and their failure told. */
import { describe, expect, test } from "vitest";
import { UserError } from "../util/index.ts";
import type { RunEvent } from "./events.ts";
import { falling, record, short } from "./loop.testing.ts";

describe("a checkpoint is written beside the steps", () => {
  test("which go on until the next one, and the end waits too", async () => {
    const told: string[] = [];
    const writes: (() => void)[] = [];
    const written = (step: number) =>
      new Promise<void>((resolve) => {
        told.push(`writing ${step}`);
        writes.push(() => {
          told.push(`written ${step}`);
          resolve();
        });
      });
    const onEvent = (event: RunEvent): void => {
      told.push(short(event));
      // The first write ends only when the loop has nothing else to do.
      if (
        short(event) === "evaluation 6" ||
        short(event) === "checkpoint 6" ||
        short(event) === "checkpoint 7"
      )
        setTimeout(() => writes.shift()!());
    };
    await record({ losses: falling, written, onEvent });
    const from = told.indexOf("writing 3");
    expect(told.slice(from)).toEqual([
      "writing 3",
      "checkpoint 3",
      "step 4",
      "evaluation 4",
      "step 5",
      "step 6",
      "evaluation 6",
      "written 3",
      "writing 6",
      "checkpoint 6",
      "step 7",
      "evaluation 7",
      "written 6",
      "writing 7",
      "checkpoint 7",
      "written 7",
      "finished 7",
    ]);
  });

  test("one that fails ends the run with its own error: at the next step, or in the end", async () => {
    const full = new UserError("the disk is full");
    const failing = (bad: number) => (step: number) =>
      step === bad ? Promise.reject(full) : Promise.resolve();
    const events: string[] = [];
    const onEvent = (event: RunEvent): void => void events.push(short(event));
    await expect(record({ losses: falling, written: failing(3), onEvent })).rejects.toBe(full);
    expect(events.at(-1)).toBe("checkpoint 3");
    await expect(record({ losses: falling, written: failing(7) })).rejects.toBe(full);
  });

  test("a run that fails otherwise ends after the write has", async () => {
    let done = false;
    const written = () =>
      new Promise<void>((resolve) => {
        setTimeout(() => {
          done = true;
          resolve();
        }, 20);
      });
    const accumulated = (step: number): number => (step === 4 ? Number.NaN : 1);
    await expect(record({ losses: falling, written, accumulated })).rejects.toThrow(/diverged/);
    expect(done).toBe(true);
  });
});
