/** `attune train`: from a configuration to the best adapter. */
import { basename, resolve } from "node:path";
import { Command } from "commander";
import {
  type Resolved,
  type TrainConfig,
  prepareRun,
  resolveConfig,
  runConfigPath,
  trainConfigSchema,
} from "../../project/index.ts";
import { UserError } from "../../util/index.ts";
import { collect } from "../arguments.ts";
import { carryOut } from "../carry-out.ts";
import {
  type FindingSource,
  folderForRemedy,
  inFolder,
  openFinding,
  refuseIdleRemedy,
  remedyLines,
} from "../from-finding.ts";
import { type Output, terminalOutput } from "../terminal.ts";

interface TrainFlags {
  readonly model?: string;
  readonly data?: string;
  readonly out?: string;
  readonly set: readonly string[];
  readonly fromFinding?: string;
  readonly resume?: boolean | string;
  readonly fold: boolean;
  readonly memory?: string;
  readonly memoryCheck: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function trainCommand(): Command {
  return new Command("train")
    .description("fine-tune a model on dialogues: LoRA, early stopping, the best adapter kept")
    .argument("[config]", "a YAML file; every key has a default but model and data")
    .option("--model <reference>", "a model folder, a .gguf file, or owner/name[@revision]")
    .option("--data <path>", "JSON lines, or a folder made by `attune data prepare`")
    .option("--out <folder>", "where the run is kept")
    .option(
      "--set <key=value>",
      "override one setting, such as lora.rank=8",
      collect,
      [] as readonly string[],
    )
    .option(
      "--from-finding <path:id>",
      "change what a finding of attune diagnose says, in a new run: runs/first:overfitting",
    )
    .option("--resume [run]", "go on with a run from its last checkpoint")
    .option("--no-fold", "read the rows of one conversation one by one: slower, the same gradient")
    .option("--memory <amount>", "most memory that the run may take, such as 3GiB; default: what is free")
    .option("--no-memory-check", "start even if the estimate does not fit into free memory")
    .option("--dry-run", "print the plan, with the time that it takes here, and stop")
    .option("--json", "print events as JSON lines; the last is the result")
    .action(async (file: string | undefined, flags: TrainFlags) => {
      process.exitCode = await train(file, flags, terminalOutput({ json: flags.json ?? false }));
    });
}

async function train(file: string | undefined, flags: TrainFlags, output: Output): Promise<number> {
  const resumed = typeof flags.resume === "string" ? flags.resume : undefined;
  const finding = flags.fromFinding === undefined ? undefined : await openFinding(flags.fromFinding);
  const resolved =
    finding === undefined
      ? await settings(file, resumed, flags)
      : await settingsOfFinding(file, finding, flags);
  const folder = resumed ?? resolved.config.out ?? defaultFolder(resolved.config);
  return carryOut(
    {
      prepare: (options) => prepareRun(resolved.config, options),
      resolved,
      folder,
      resume: flags.resume !== undefined && flags.resume !== false,
      memoryCheck: flags.memoryCheck,
      dryRun: flags.dryRun ?? false,
      lines: finding === undefined ? [] : remedyLines(resolved, finding),
    },
    output,
  );
}

/** A resumed run takes its own configuration, unless another one is named. */
function settings(
  file: string | undefined,
  resumed: string | undefined,
  flags: TrainFlags,
  finding?: FindingSource,
): Promise<Resolved<TrainConfig>> {
  const from = file ?? (resumed === undefined ? undefined : runConfigPath(resumed));
  return resolveConfig(trainConfigSchema, {
    ...(from === undefined ? {} : { file: from }),
    flags: {
      model: flags.model,
      data: flags.data,
      out: flags.out,
      "training.fold": flags.fold ? undefined : false,
      "runtime.memory": flags.memory,
    },
    ...(finding === undefined ? {} : { finding }),
    set: flags.set,
  });
}

/** The configuration named, or that of the diagnosed run, with the remedy over it; in a folder of its own. */
async function settingsOfFinding(
  file: string | undefined,
  finding: FindingSource,
  flags: TrainFlags,
): Promise<Resolved<TrainConfig>> {
  if (flags.resume !== undefined && flags.resume !== false) {
    throw new UserError("--from-finding starts a new run; it cannot be joined with --resume", {
      next: "Leave one of them out.",
    });
  }
  const from = file ?? (flags.model === undefined ? finding.config : undefined);
  const resolved = await settings(from, undefined, flags, finding);
  refuseIdleRemedy(resolved, finding);
  if (flags.out !== undefined) return resolved;
  const base = finding.config === undefined ? defaultFolder(resolved.config) : finding.run;
  return inFolder(resolved, await folderForRemedy(base, finding.id), `finding ${finding.id}`);
}

function defaultFolder({ model, data }: TrainConfig): string {
  const name = (path: string): string => basename(resolve(path)).replace(/\.(jsonl|json|gguf|gz)+$/g, "");
  return `runs/${name(model)}-${name(data.train)}`.replaceAll(/[^\w./-]+/g, "-");
}
