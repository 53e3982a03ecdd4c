/** Tokens a second of steps of several sizes, in turn: a step of many micro-batches beside one of few. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { formatBytes, writeFileAtomic } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, processorName } from "./machine.ts";
import { attuneSide, plainLora } from "./sides.ts";
import { type Side, microBatchSeconds, startSide } from "./turns.ts";
import { denseSize, prepareWorkload } from "./workload.ts";

interface Flags {
  readonly model: string;
  readonly sizes: string;
  readonly base: string;
  readonly rounds: number;
  readonly microTokens: number;
  readonly threads?: number;
}

const repository = join(import.meta.dirname, "..");

export function stepSizesCommand(): Command {
  return new Command("step-sizes")
    .description("tokens a second of steps of several sizes, in turn")
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .option(
      "--sizes <list>",
      "rows x tokens of dense steps, comma-separated; the first is compared with",
      "4x256,64x256",
    )
    .option("--base <names>", "how the frozen layers are held, comma-separated", "float32,int8")
    .option(
      "--rounds <n>",
      "steps of the largest size, after one to warm up; the least time counts",
      count,
      3,
    )
    .option("--micro-tokens <n>", "most tokens computed at once", count, 700)
    .option("--threads <n>", "threads; default: the processors at hand", count)
    .action(compareSizes);
}

async function compareSizes(flags: Flags): Promise<void> {
  const threads = flags.threads ?? availableParallelism();
  const { rounds } = flags;
  process.stdout.write(
    `step-sizes: ${flags.sizes}, the least of ${rounds} rounds; ${processorName()}, ${threads} threads, load ${loadAverage()}\n`,
  );
  for (const base of flags.base.split(",")) await compareOf(base, flags, { rounds, threads });
}

interface Sized {
  readonly size: string;
  readonly tokens: number;
  readonly side: Side;
}

async function compareOf(
  base: string,
  flags: Flags,
  { rounds, threads }: { readonly rounds: number; readonly threads: number },
): Promise<void> {
  const sized: Sized[] = [];
  try {
    for (const size of flags.sizes.split(",")) sized.push(await startSized(size, base, flags, threads));
    const most = Math.max(...sized.map(({ tokens }) => tokens));
    const rates = sized.map((): number[] => []);
    // Small steps as often as it takes to be timed as long as a large one.
    for (let round = 0; round <= rounds; round++)
      for (const [i, { side, tokens }] of sized.entries()) {
        const seconds: number[] = [];
        for (let step = 0; step < most / tokens; step++)
          seconds.push(...microBatchSeconds(await side.ask({ do: "step", step: 0 })));
        if (round > 0) rates[i]!.push((seconds.reduce((sum, s) => sum + s, 0) * tokens) / most);
      }
    const perSecond = sized.map(({ tokens }, i) => tokens / Math.min(...rates[i]!));
    for (const [i, { size, side }] of sized.entries()) {
      const peak = Number((await side.ask({ do: "peak" }))["peakBytes"]);
      process.stdout.write(
        `${base.padEnd(8)} ${size.padStart(8)} ${perSecond[i]!.toFixed(0).padStart(6)} tokens/s  ${(perSecond[i]! / perSecond[0]!).toFixed(3)} × the first  peak ${formatBytes(peak)}\n`,
      );
    }
  } finally {
    for (const { side } of sized) await side.close();
  }
}

async function startSized(size: string, base: string, flags: Flags, threads: number): Promise<Sized> {
  const dense = denseSize(size, "--sizes");
  const { folder, batches } = await prepareWorkload({
    model: flags.model,
    dense,
    seed: 0,
    text: join(repository, "assets/quickstart/train.jsonl"),
    batches: 1,
    validation: false,
    rank: 16,
    targets: ["q_proj", "v_proj"],
    cache: join(repository, ".cache", "bench"),
  });
  const file = `batches-${size}.json`;
  await writeFileAtomic(join(folder, file), JSON.stringify(batches));
  const shared = { work: folder, threads, ...plainLora };
  const side = await startSide(attuneSide(shared, { base, microTokens: flags.microTokens, batches: file }));
  return { size, tokens: dense.rows * dense.tokens, side };
}
