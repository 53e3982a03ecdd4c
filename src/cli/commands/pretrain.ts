/** `attune pretrain`: from text to a model of its own. */
import { basename, resolve } from "node:path";
import { Command } from "commander";
import {
  type PretrainConfig,
  makeStart,
  preparePretraining,
  prepareRun,
  pretrainConfigSchema,
  resolveConfig,
  runConfigPath,
  trainConfigOf,
  trainConfigSchema,
} from "../../project/index.ts";
import { UserError } from "../../util/index.ts";
import { collect } from "../arguments.ts";
import { carryOut } from "../carry-out.ts";
import { type Output, terminalOutput } from "../terminal.ts";

interface PretrainFlags {
  readonly data?: readonly string[];
  readonly tokenizer?: string;
  readonly out?: string;
  readonly set: readonly string[];
  readonly resume?: string;
  readonly memory?: string;
  readonly memoryCheck: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function pretrainCommand(): Command {
  return new Command("pretrain")
    .description("train a new model from scratch on text: tokenizer, first weights, every parameter")
    .argument("[config]", "a YAML file; every key has a default but data")
    .option("--data <paths...>", "text files, JSON lines with a `text` each, dialogues, folders, globs")
    .option("--tokenizer <path>", "a tokenizer.json or a model folder; absent: one is trained on the data")
    .option("--out <folder>", "where the run is kept")
    .option(
      "--set <key=value>",
      "override one setting, such as shape.layers=8",
      collect,
      [] as readonly string[],
    )
    .option("--resume <run>", "go on with a run from its last checkpoint")
    .option("--memory <amount>", "most memory that the run may take, such as 3GiB; default: what is free")
    .option("--no-memory-check", "start even if the estimate does not fit into free memory")
    .option("--dry-run", "print the plan, with the time that it takes here, and stop")
    .option("--json", "print events as JSON lines; the last is the result")
    .action(async (file: string | undefined, flags: PretrainFlags) => {
      const output = terminalOutput({ json: flags.json ?? false });
      process.exitCode = await (flags.resume === undefined
        ? pretrain(file, flags, output)
        : goOn(flags.resume, file, flags, output));
    });
}

async function pretrain(file: string | undefined, flags: PretrainFlags, output: Output): Promise<number> {
  const resolved = await resolveConfig(pretrainConfigSchema, {
    ...(file === undefined ? {} : { file }),
    flags: { data: flags.data, tokenizer: flags.tokenizer, out: flags.out, "runtime.memory": flags.memory },
    set: flags.set,
  });
  const folder = resolved.config.out ?? defaultFolder(resolved.config);
  return carryOut(
    {
      prepare: async ({ signal }) => {
        const start = await makeStart(resolved.config, { signal, onProgress: output.live });
        return preparePretraining(trainConfigOf(resolved.config, folder), start, {
          isNew: true,
          origins: resolved.origins,
        });
      },
      resolved,
      folder,
      resume: false,
      memoryCheck: flags.memoryCheck,
      dryRun: flags.dryRun ?? false,
    },
    output,
  );
}

/** The run's own configuration and start; `--set` may change what is safe to change. */
async function goOn(
  run: string,
  file: string | undefined,
  flags: PretrainFlags,
  output: Output,
): Promise<number> {
  if (file !== undefined || flags.data !== undefined || flags.tokenizer !== undefined) {
    throw new UserError("a run that is resumed has its configuration, data and tokenizer already", {
      next: "Leave them out beside --resume; --set changes what may be changed.",
    });
  }
  const resolved = await resolveConfig(trainConfigSchema, {
    file: runConfigPath(run),
    flags: { "runtime.memory": flags.memory },
    set: flags.set,
  });
  return carryOut(
    {
      prepare: (options) => prepareRun(resolved.config, options),
      resolved,
      folder: run,
      resume: true,
      memoryCheck: flags.memoryCheck,
      dryRun: flags.dryRun ?? false,
    },
    output,
  );
}

function defaultFolder({ data: { train } }: PretrainConfig): string {
  const first = typeof train === "string" ? train : train[0]!;
  const name = basename(resolve(first)).replace(/\.(txt|md|jsonl|json|gz)+$/g, "");
  return `runs/pretrain-${name}`.replaceAll(/[^\w./-]+/g, "-");
}
