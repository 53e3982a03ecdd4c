/** Attune's side of bench/decode.ts: generation on the same prompts, a measurement a turn. */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { onnxRuntime } from "../src/compute/runtime/index.ts";
import { loadResidentModel } from "../src/model/decoder/index.ts";
import { generationEngine } from "../src/model/generate/index.ts";
import { openModel } from "../src/model/hub/index.ts";
import { peakBytes } from "./machine.ts";
import { serveTurns } from "./turns.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "" },
    prompts: { type: "string", default: "" },
    threads: { type: "string", default: "1" },
  },
});

async function main(): Promise<void> {
  const prompts = JSON.parse(await readFile(values.prompts, "utf8")) as number[][];
  await using runtime = await onnxRuntime({ threads: Number(values.threads) });
  const opened = await openModel(values.model);
  const resident = await loadResidentModel(runtime, opened.spec, opened.store);
  await opened.close();

  async function generate(ids: readonly (readonly number[])[], newTokens: number) {
    const capacity = Math.max(...ids.map(({ length }) => length)) + newTokens;
    await using engine = await generationEngine(resident, { slots: ids.length, capacity });
    const began = performance.now();
    const outputs: number[][] = [];
    for (const [slot, prompt] of ids.entries())
      outputs.push([(await engine.prefill([{ slot, ids: prompt }], false))[0]!.best]);
    const first = performance.now();
    for (let step = 1; step < newTokens; step++) {
      const steps = outputs.map((tokens, slot) => ({ slot, token: tokens.at(-1)! }));
      for (const [slot, { best }] of (await engine.decode(steps, false)).entries()) outputs[slot]!.push(best);
    }
    const seconds = (performance.now() - first) / 1000;
    return {
      firstTokenSeconds: (first - began) / 1000,
      decodeTokensPerSecond: (ids.length * (newTokens - 1)) / seconds,
      tokens: outputs[0]!,
    };
  }

  await serveTurns({ version: runtime.name }, async (request) => {
    switch (request["do"]) {
      case "generate":
        return generate(prompts.slice(0, Number(request["sequences"])), Number(request["newTokens"]));
      case "prefill": {
        const count = Number(request["tokens"]);
        const { firstTokenSeconds } = await generate([prompts.flat().slice(0, count)], 1);
        return { tokensPerSecond: count / firstTokenSeconds };
      }
      case "peak":
        return { peakBytes: peakBytes() };
      default:
        throw new Error(`unknown request ${JSON.stringify(request)}`);
    }
  });
}

await main();
