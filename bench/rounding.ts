/**
 * What 8 bits of one kind of product cost the gradient: how much of its squared error goes when that kind is exact. Each change
 * makes all roundings behind it fall anew, so of a few batches shares of a few percent say nothing.
 */
import { Command } from "commander";
import { type Runtime, onnxRuntime } from "../src/compute/runtime/index.ts";
import { type ResidentModel, int8Layers } from "../src/model/decoder/index.ts";
import { type Linear, int8LinearIn, linear } from "../src/model/nn/index.ts";
import {
  type PreparedRun,
  type TrainConfig,
  calibrateBase,
  calibrationRows,
  loadBase,
  prepareRun,
} from "../src/project/index.ts";
import { UserError } from "../src/util/index.ts";
import { count } from "./flags.ts";
import { loadAverage, processorName } from "./machine.ts";
import { type Slope, compare, engineOf, runConfig, slopesOf } from "./slope.ts";

interface Flags {
  readonly model: string;
  readonly data: string;
  readonly batch: number;
  readonly batches: number;
  readonly seed: number;
  readonly maxLength: number;
  readonly paths: readonly string[];
  readonly json?: boolean;
}

/** Kinds of layers, by the ends of their paths. */
const kinds = [
  "q_proj",
  "k_proj",
  "v_proj",
  "[kv]_proj",
  "[qkv]_proj",
  "o_proj",
  "(gate|up)_proj",
  "down_proj",
  ".",
];

/** What is exact of a kind. */
const ways: Readonly<Record<string, Linear>> = {
  inputs: int8LinearIn("float32", "int8"),
  gradients: int8LinearIn("int8", "float32"),
  both: int8LinearIn("float32", "float32"),
  "both and weights": linear,
};

export function roundingCommand(): Command {
  return new Command("rounding")
    .description(
      "of an 8-bit base: the share of the gradient's squared error that goes when some layers are exact",
    )
    .requiredOption("--model <path>", "a model folder or .gguf file")
    .requiredOption("--data <file>", "dialogues as `attune train` reads them")
    .option("--batch <n>", "replies a batch", count, 8)
    .option("--batches <n>", "batches whose errors are averaged", count, 4)
    .option("--seed <n>", "seed of order and adapter", count, 1)
    .option("--max-length <n>", "longest sequence in tokens", count, 320)
    .option(
      "--paths <patterns...>",
      "regular expressions of layers' paths, each of which is exact in turn",
      kinds,
    )
    .option("--json", "print a JSON line for each")
    .action(rounding);
}

async function rounding(flags: Flags): Promise<void> {
  const patterns = flags.paths.map(patternOf);
  const { batch, maxLength } = flags;
  const configOf = (base: TrainConfig["training"]["base"]): TrainConfig =>
    runConfig(flags, { steps: flags.batches, batch, microTokens: 700, maxLength, base });
  const [float, int8] = [configOf("float32"), configOf("int8")];
  await using prepared = await prepareRun(int8);
  await using runtime = await onnxRuntime();
  const slopes = async (model: ResidentModel, config: TrainConfig): Promise<readonly Slope[]> => {
    await using engine = await engineOf(model, prepared, config);
    // Awaited: the engine lives until then.
    return await slopesOf(engine, prepared, flags.seed, flags.batches);
  };
  const exactModel = await loadBase(runtime, prepared.model, float.training);
  const exact = await slopes(exactModel, float);
  const model = await int8Beside(runtime, prepared, int8, exactModel);
  const rounded = int8Layers(prepared.model.spec);
  const squaredError = async (frozen: Linear): Promise<number> => {
    const found = await slopes({ ...model, frozen }, int8);
    const errors = found.map(({ gradient }, i) => compare(gradient, exact[i]!.gradient).relative ** 2);
    return errors.reduce((a, b) => a + b, 0) / errors.length;
  };
  const whole = await squaredError(rounded);
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  if (flags.json === true) say(JSON.stringify({ relative: Math.sqrt(whole) }));
  else {
    say(
      `${processorName()}, load ${loadAverage()}; ${flags.batches} batches of ${flags.batch}, seed ${flags.seed}`,
    );
    say(
      `gradient error ‖int8 − float32‖ / ‖float32‖: ${Math.sqrt(whole).toFixed(4)}; of its square goes where exact are`,
    );
    say(`| layers | ${Object.keys(ways).join(" | ")} |`);
    say(
      `| --- | ${Object.keys(ways)
        .map(() => "---")
        .join(" | ")} |`,
    );
  }
  for (const pattern of patterns) {
    const gone: Record<string, number> = {};
    for (const [way, other] of Object.entries(ways)) {
      const chosen: Linear = (scope, ...rest) => (pattern.test(scope.path) ? other : rounded)(scope, ...rest);
      gone[way] = 1 - (await squaredError(chosen)) / whole;
    }
    if (flags.json === true) say(JSON.stringify({ layers: pattern.source, gone }));
    else
      say(
        `| ${pattern.source.replaceAll("|", "\\|")} | ${Object.values(gone)
          .map((share) => `${(100 * share).toFixed(1)} %`)
          .join(" | ")} |`,
      );
  }
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new UserError(`--paths names ${text}, which is no regular expression`, {
      next: 'For example "v_proj" or "layers\\.[0-4]\\.".',
      cause: error,
    });
  }
}

/** The base in 8 bits, and beside it all weights as floats. */
async function int8Beside(
  runtime: Runtime,
  { plan, model }: PreparedRun,
  { training }: TrainConfig,
  float: ResidentModel,
): Promise<ResidentModel> {
  const rows = () => calibrationRows(plan.training.batch(0).microBatches.flat());
  const calibrated = await calibrateBase(runtime, model, training, rows);
  const int8 = await loadBase(runtime, model, training, { calibrated });
  const weights = new Map([...float.weights, ...int8.weights]);
  return {
    ...int8,
    weights,
    feeds: async (inputs, positions) => ({
      ...(await float.feeds(inputs, positions)),
      ...(await int8.feeds(inputs, positions)),
    }),
  };
}
