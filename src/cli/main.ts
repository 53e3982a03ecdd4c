/** The command line: finds the command, loads it alone, and turns errors into one clear message and an exit code. */
import { Command, CommanderError } from "commander";
import { CancelledError, UserError, errorCode, errorMessage, packageVersion } from "../util/index.ts";
import { commands } from "./commands.ts";
import { interruptedExitCode, outputClosed } from "./interrupt.ts";

/** 0 done, 1 failed, 2 misuse, 130 interrupted. */
async function main(words: readonly string[]): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error) => {
      if (errorCode(error) !== "EPIPE") throw error;
      outputClosed();
    });
  }
  // Wherever it stands: the command that fails is typed again with --debug at its end.
  const debug = words.includes("--debug");
  const argv = words.filter((word) => word !== "--debug");
  try {
    const program = await assemble(calledCommand(argv));
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    process.exitCode = report(error, debug);
  }
}

/** The name of the command, also after `help`. */
function calledCommand(argv: readonly string[]): string | undefined {
  return argv.find((word) => !word.startsWith("-") && word !== "help");
}

/** The program with one command loaded; the others stand in with their summaries. */
async function assemble(called: string | undefined): Promise<Command> {
  const program = new Command("attune")
    .description("Fine-tune a LLaMA-family model for customer-service dialogue.")
    .version(packageVersion())
    .option("--debug", "print the stack of an error")
    .enablePositionalOptions()
    .exitOverride();
  for (const [name, { summary, load }] of Object.entries(commands)) {
    program.addCommand(inherit(name === called ? await load() : new Command(name).description(summary)));
  }
  return program;
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
  const stack = error instanceof Error ? error.stack : undefined;
  const known = error instanceof UserError && !debug;
  process.stderr.write(known ? `error: ${error.message}\n` : `${stack ?? errorMessage(error)}\n`);
  return 1;
}

await main(process.argv.slice(2));
