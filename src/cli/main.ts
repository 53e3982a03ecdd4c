/** The command line: one command a file; errors as one clear message and an exit code. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { CancelledError, UserError, errorMessage } from "../util/index.ts";
import { trainCommand } from "./commands/train.ts";
import { interruptedExitCode } from "./interrupt.ts";

/** 0 done, 1 failed, 2 misuse, 130 interrupted. */
async function main(argv: readonly string[]): Promise<void> {
  const version = (
    JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
  ).version;
  const program = new Command("attune")
    .description("Fine-tune a LLaMA-family model for customer-service dialogue.")
    .version(version)
    .option("--debug", "print the stack of an error")
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .exitOverride();
  for (const command of [trainCommand()]) program.addCommand(inherit(command));
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = report(error, program.opts<{ debug?: boolean }>().debug === true);
  }
}

/** Sub-commands throw instead of ending the process, so that exit codes are decided in one place. */
function inherit(command: Command): Command {
  command.exitOverride();
  for (const sub of command.commands) inherit(sub);
  return command;
}

function report(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof CancelledError) return interruptedExitCode;
  if (error instanceof UserError && !debug) process.stderr.write(`error: ${error.message}\n`);
  else
    process.stderr.write(
      `${error instanceof Error && error.stack !== undefined ? error.stack : errorMessage(error)}\n`,
    );
  return 1;
}

await main(process.argv);
