/** The peer of bench/decode.ts: node-llama-cpp on the same prompts, a measurement a turn. Run in the folder it is installed in. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [modelPath, promptsPath, threadsText, installed] = process.argv.slice(2);
const entry = createRequire(`${installed}/package.json`).resolve("node-llama-cpp");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const threads = Number(threadsText);
const prompts = JSON.parse(readFileSync(promptsPath, "utf8"));
const llama = await getLlama({ gpu: false, build: "never", maxThreads: 0, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const options = { batchSize: 512, threads: { ideal: threads, min: threads } };

/** New sequences for every measurement: nothing of a prompt is already in a cache. */
async function generate(ids, newTokens) {
  const longest = Math.max(...ids.map((one) => one.length)) + newTokens + 1;
  const context = await model.createContext({ ...options, contextSize: longest, sequences: ids.length });
  const sequences = ids.map(() => context.getSequence());
  const began = performance.now();
  const firsts = [];
  const outputs = await Promise.all(
    sequences.map(async (sequence, i) => {
      const out = [];
      for await (const token of sequence.evaluate(ids[i], { temperature: 0, yieldEogToken: true })) {
        if (out.length === 0) firsts.push(performance.now());
        out.push(token);
        if (out.length === newTokens) break;
      }
      return out;
    }),
  );
  const ended = performance.now();
  await context.dispose();
  const first = Math.max(...firsts);
  const seconds = (ended - first) / 1000;
  return {
    firstTokenSeconds: (first - began) / 1000,
    decodeTokensPerSecond: (ids.length * (newTokens - 1)) / seconds,
    tokens: outputs[0],
  };
}

const peakBytes = () => {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
};
const say = (message) => process.stdout.write(`@${JSON.stringify(message)}\n`);
const version = JSON.parse(
  readFileSync(`${installed}/node_modules/node-llama-cpp/package.json`, "utf8"),
).version;
say({ version: `node-llama-cpp ${version}` });
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.do === "generate") say(await generate(prompts.slice(0, request.sequences), request.newTokens));
  else if (request.do === "prefill") {
    const { firstTokenSeconds } = await generate([prompts.flat().slice(0, request.tokens)], 1);
    say({ tokensPerSecond: request.tokens / firstTokenSeconds });
  } else if (request.do === "peak") say({ peakBytes: peakBytes() });
}
process.exit(0);
