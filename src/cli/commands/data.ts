/** `attune data`: raw conversations to a data set, and looking at one. */
import { Command } from "commander";
import { checkCommand, diffCommand, reportCommand, showCommand } from "./data-look.ts";
import { prepareCommand } from "./data-prepare.ts";

export function dataCommand(): Command {
  return new Command("data")
    .description("prepare, check and look at data sets")
    .addCommand(prepareCommand())
    .addCommand(showCommand())
    .addCommand(checkCommand())
    .addCommand(reportCommand())
    .addCommand(diffCommand());
}
