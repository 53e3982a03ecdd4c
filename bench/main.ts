/** `npm run bench -- NAME`: measurements of Attune beside its peers, each in one run on one machine. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { UserError, lockFile } from "../src/util/index.ts";
import { curveCommand } from "./curve.ts";
import { decodeCommand } from "./decode.ts";
import { detectorsCommand } from "./detectors.ts";
import { evaluateBatchingCommand } from "./evaluate-batching.ts";
import { foldCommand } from "./fold.ts";
import { memoryCommand } from "./memory.ts";
import { modesCommand } from "./modes.ts";
import { planCommand } from "./plan.ts";
import { roundingCommand } from "./rounding.ts";
import { sevenBCommand } from "./seven-b.ts";
import { startCommand } from "./start.ts";
import { stepSizesCommand } from "./step-sizes.ts";
import { trainStepCommand } from "./train-step.ts";

const program = new Command("bench")
  .description(
    "Measures Attune beside its peers. Close other programs first: figures of a busy machine mean little.",
  )
  .addCommand(trainStepCommand())
  .addCommand(curveCommand())
  .addCommand(decodeCommand())
  .addCommand(foldCommand())
  .addCommand(memoryCommand())
  .addCommand(modesCommand())
  .addCommand(planCommand())
  .addCommand(roundingCommand())
  .addCommand(sevenBCommand())
  .addCommand(startCommand())
  .addCommand(stepSizesCommand())
  .addCommand(evaluateBatchingCommand())
  .addCommand(detectorsCommand())
  .showHelpAfterError();

// Two at once would measure each other, and write each other's batches.
const scratch = join(import.meta.dirname, "..", ".cache", "bench");
let lock: AsyncDisposable | undefined;
program.hook("preAction", async () => {
  await mkdir(scratch, { recursive: true });
  lock = await lockFile(
    join(scratch, "bench.lock"),
    "the benchmarks' scratch folder",
    "take another checkout",
  );
});

try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`error: ${error.message}\n`);
  process.exitCode = 1;
} finally {
  await lock?.[Symbol.asyncDispose]();
}
