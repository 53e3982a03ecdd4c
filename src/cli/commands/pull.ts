/** `attune pull`: a model from the hub into the cache, checked; one that is here already is checked alone. */
import { Command } from "commander";
import { openChatModel } from "../../model/index.ts";
import { parameterCount } from "../../model/decoder/index.ts";
import { formatCount } from "../../util/index.ts";
import { hubReporter } from "../hub-events.ts";
import { interruptSignal } from "../interrupt.ts";
import { bold, terminalOutput } from "../terminal.ts";

export function pullCommand(): Command {
  return new Command("pull")
    .description("fetch a model from the hub into the cache, or check one that is here")
    .argument("<model>", "owner/name, owner/name@revision, owner/name:file.gguf, a folder, or a .gguf file")
    .option("--json", "print progress as JSON lines; the last is the result")
    .action(async (reference: string, flags: { readonly json?: boolean }) => {
      const output = terminalOutput({ json: flags.json ?? false });
      const interrupt = interruptSignal(() =>
        output.notice("Stopping; what has arrived is kept, and the same command goes on from there."),
      );
      try {
        const model = await openChatModel(reference, {
          onEvent: hubReporter(output),
          signal: interrupt.signal,
        });
        try {
          const { opened, spec, renderer } = model;
          const at = opened.file === undefined ? opened.folder : `${opened.folder}/${opened.file}`;
          output.line(
            `${bold("model")}     ${opened.name}${opened.commit === undefined ? "" : ` at ${opened.commit.slice(0, 12)}`}`,
          );
          output.line(
            `${bold("family")}    ${spec.family}, ${formatCount(parameterCount(spec))} parameters, ${spec.layers} layers of width ${formatCount(spec.hiddenSize)}`,
          );
          output.line(
            `${bold("text")}      vocabulary ${formatCount(renderer.tokenizer.vocabularySize)}, context ${formatCount(spec.contextLength)} tokens${model.defaultTemplate ? ", no chat template (ChatML stands in)" : ""}`,
          );
          output.line(`${bold("files")}     ${at}`);
          output.line(`\nTalk to it: attune chat ${reference}`);
          output.json({
            type: "result",
            model: opened.name,
            ...(opened.revision === undefined ? {} : { revision: opened.revision }),
            ...(opened.commit === undefined ? {} : { commit: opened.commit }),
            path: at,
            family: spec.family,
            parameters: parameterCount(spec),
            contextTokens: spec.contextLength,
            vocabulary: renderer.tokenizer.vocabularySize,
            hasChatTemplate: !model.defaultTemplate,
          });
        } finally {
          await model.close();
        }
      } finally {
        interrupt.dispose();
      }
    });
}
