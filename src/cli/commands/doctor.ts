/** `attune doctor`: what the machine has and lacks, one line a matter, with what to do. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Command, Option } from "commander";
import type { Provider } from "../../compute/runtime/index.ts";
import { type Finding, examine, probeProvider } from "../../project/index.ts";
import { bold, dim, green, red, terminalOutput, yellow } from "../terminal.ts";

const marks: { readonly [S in Finding["status"]]: string } = {
  ok: green("✓"),
  missing: yellow("–"),
  problem: red("✗"),
};

interface DoctorFlags {
  readonly network: boolean;
  readonly probe?: Provider;
  readonly json?: boolean;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("say what this machine has, what is missing, and what to do about it")
    .option("--no-network", "do not ask whether the hub answers")
    .option("--json", "print findings as JSON lines; the last is the result")
    .addOption(new Option("--probe <provider>").hideHelp())
    .action(async (flags: DoctorFlags) => {
      if (flags.probe !== undefined) {
        process.stdout.write((await probeProvider(flags.probe)) ?? "");
        return;
      }
      const output = terminalOutput({ json: flags.json ?? false });
      const counts = { ok: 0, missing: 0, problem: 0 };
      for await (const finding of examine({ network: flags.network, probe: probeInChild })) {
        counts[finding.status] += 1;
        output.json({ type: "finding", ...finding });
        output.line(`${marks[finding.status]} ${bold(finding.name.padEnd(16))} ${finding.found}`);
        if (finding.advice !== undefined) output.line(dim(`${" ".repeat(19)}${finding.advice}`));
      }
      output.json({ type: "result", ready: counts.problem === 0, ...counts });
      output.line(
        counts.problem === 0
          ? "\nReady. What is missing above is optional. Try: attune quickstart"
          : `\n${red("Not ready:")} mend what is marked ✗ first.`,
      );
      if (counts.problem > 0) process.exitCode = 1;
    });
}

/** A provider is tried in a process of its own: a broken driver ends that one, and its complaints stay unheard. */
async function probeInChild(provider: Provider): Promise<string | undefined> {
  try {
    const command = [process.argv[1]!, "doctor", "--probe", provider];
    const { stdout } = await promisify(execFile)(process.execPath, command, { timeout: 60_000 });
    return stdout === "" ? undefined : stdout;
  } catch {
    return `${provider} ends the process that tries it`;
  }
}
