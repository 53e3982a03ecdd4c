/** Laps add up to the time between the first and the last. */
import { expect, test } from "vitest";
import { stopwatch } from "./stopwatch.ts";

test("each lap is the time since the one before; a name that comes again adds up", () => {
  let clock = 1000;
  const watch = stopwatch(() => clock);
  clock += 500;
  watch.lap("read");
  clock += 250;
  watch.lap("plan");
  const early = watch.laps();
  clock += 250;
  watch.lap("read");
  expect(watch.laps()).toEqual({ read: 0.75, plan: 0.25 });
  expect(early).toEqual({ read: 0.5, plan: 0.25 });
});
