// node-llama-cpp on the CPU, greedy: one JSON line a request. Started by bench/decode.ts with the folder it is installed in.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { createInterface } from "node:readline";

const [, , installed, modelPath, threadsText] = process.argv;
const threads = Number(threadsText);
const entry = createRequire(`${installed}/package.json`).resolve("node-llama-cpp");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const llama = await getLlama({ gpu: false, build: "never", maxThreads: 0, logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const contexts = new Map();

async function sequences(count, size) {
  const key = `${count} ${size}`;
  if (!contexts.has(key)) {
    const context = await model.createContext({
      contextSize: size,
      sequences: count,
      batchSize: 512,
      threads: { ideal: threads, min: threads },
    });
    contexts.set(
      key,
      Array.from({ length: count }, () => context.getSequence()),
    );
  }
  return contexts.get(key);
}

async function measure({ prompts, newTokens, capacity }) {
  const all = await sequences(prompts.length, capacity);
  for (const sequence of all) await sequence.clearHistory();
  const began = performance.now();
  const firsts = [];
  await Promise.all(
    all.map(async (sequence, i) => {
      let count = 0;
      for await (const _ of sequence.evaluate(prompts[i], { temperature: 0, yieldEogToken: true })) {
        count += 1;
        if (count === 1) firsts.push(performance.now());
        if (count === newTokens) break;
      }
    }),
  );
  const first = Math.max(...firsts);
  const seconds = (performance.now() - first) / 1000;
  return {
    firstTokenMs: first - began,
    tokensPerSecond: (prompts.length * (newTokens - 1)) / seconds,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
}

process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await measure(JSON.parse(line)))}\n`);
}
process.exit(0);
