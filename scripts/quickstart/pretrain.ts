/** Pre-trains the quick start's model from scratch on the corpus of build-corpus.ts, with Attune's own engine. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { adamWDefaults } from "../../src/compute/optim/index.ts";
import { onnxRuntime } from "../../src/compute/runtime/index.ts";
import { float32 } from "../../src/compute/tensor/index.ts";
import {
  type Sequence,
  expectedWeights,
  parameterCount,
  residentModel,
  specFromConfig,
} from "../../src/model/decoder/index.ts";
import { parameterLayout, parameterViews } from "../../src/model/nn/index.ts";
import { toWrite, writeSafetensors } from "../../src/model/weights/index.ts";
import { type TrainedState, chunksFor, trainingEngine } from "../../src/train/engine.ts";
import { formatCount, formatDuration, random } from "../../src/util/index.ts";
import { CORPUS_FILES, type CorpusIndex } from "./corpus-format.ts";

const { values: args } = parseArgs({
  options: {
    corpus: { type: "string", default: ".cache/quickstart" },
    out: { type: "string", default: "assets/quickstart/model" },
    minutes: { type: "string", default: "600" },
    steps: { type: "string", default: "640" },
    "batch-tokens": { type: "string", default: "4096" },
    rate: { type: "string", default: "0.002" },
    seed: { type: "string", default: "1" },
    // CC BY-SA is left out: whether weights are adapted material under its share-alike term is not settled.
    without: { type: "string", default: "sgd" },
  },
});
const seed = Number(args.seed);
const totalSteps = Number(args.steps);
const batchTokens = Number(args["batch-tokens"]);
const longest = 512;
const microTokens = 2048;

const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 6144,
  hidden_size: 256,
  intermediate_size: 640,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  hidden_act: "silu",
  max_position_embeddings: 1024,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: null,
  eos_token_id: 2,
  pad_token_id: 0,
  torch_dtype: "float16",
};
const tokenizer = JSON.parse(readFileSync(`${args.out}/tokenizer.json`, "utf8")) as {
  added_tokens: { id: number; content: string }[];
};
const idOf = (content: string): number =>
  tokenizer.added_tokens.find((token) => token.content === content)!.id;
config.eos_token_id = idOf("<|im_end|>");
config.pad_token_id = idOf("<|endoftext|>");

const index = JSON.parse(readFileSync(`${args.corpus}/${CORPUS_FILES.index}`, "utf8")) as CorpusIndex;
const bytes = readFileSync(`${args.corpus}/${CORPUS_FILES.ids}`);
const ids = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
const used = index.sources.filter(({ name }) => !args.without.split(",").includes(name));
const ones = new Float32Array(longest).fill(1);
const sequence = (document: number): Sequence => {
  const slice = ids.subarray(index.documents[document]!, index.documents[document + 1]!).subarray(0, longest);
  return { ids: slice, weights: ones.subarray(0, slice.length) };
};
const range = (from: number, to: number): Sequence[] =>
  Array.from({ length: to - from }, (_, i) => sequence(from + i)).filter((s) => s.ids.length > 1);
const training = used.flatMap((source) => range(source.firstDocument, source.heldOutFrom));
const heldOut = new Map(
  used.map((source) => [source.name, range(source.heldOutFrom, source.endDocument).slice(0, 30)]),
);

const spec = specFromConfig(config);
const layout = parameterLayout(expectedWeights(spec));
const dice = random(seed, "initialisation");
const initial = new Float32Array(layout.size);
for (const [name, view] of parameterViews(layout, initial)) {
  if (name.endsWith("norm.weight")) view.fill(1);
  else {
    // Projections back into the residual stream start smaller (GPT-2).
    const deviation = /(o_proj|down_proj)/.test(name) ? 0.02 / Math.sqrt(2 * spec.layers) : 0.02;
    for (let i = 0; i < view.length; i++) view[i] = deviation * dice.normal();
  }
}

const statePath = `${args.corpus}/pretrain-state`;
const saveState = (step: number, state: TrainedState): void => {
  mkdirSync(statePath, { recursive: true });
  for (const name of ["parameters", "firstMoment", "secondMoment"] as const) {
    writeFileSync(
      `${statePath}/${name}.f32`,
      new Uint8Array(state[name].buffer, state[name].byteOffset, state[name].byteLength),
    );
  }
  writeFileSync(`${statePath}/step.json`, JSON.stringify({ step }));
};
const readVector = (name: string): Float32Array => {
  const content = readFileSync(`${statePath}/${name}.f32`);
  return new Float32Array(content.buffer.slice(content.byteOffset, content.byteOffset + content.byteLength));
};

await using runtime = await onnxRuntime();
const engine = await trainingEngine(residentModel(runtime, spec, new Map()), initial, {
  layout,
  dropout: 0,
  seed,
  optimizer: { ...adamWDefaults, beta2: 0.95 },
  ...chunksFor(longest, microTokens),
  recompute: "none",
});
let step = 0;
if (existsSync(`${statePath}/step.json`)) {
  step = (JSON.parse(readFileSync(`${statePath}/step.json`, "utf8")) as { step: number }).step;
  await engine.restore({
    parameters: readVector("parameters"),
    firstMoment: readVector("firstMoment"),
    secondMoment: readVector("secondMoment"),
  });
}
console.log(
  `${formatCount(parameterCount(spec))} parameters; ${formatCount(training.reduce((n, s) => n + s.ids.length, 0))} training tokens from ${used.map(({ name }) => name).join(", ")}; from step ${step} of ${totalSteps}`,
);

/** Warm-up, a plateau, then a linear fall over the last quarter: a plateau's checkpoint can be finished with any `--steps`. */
function rateFactor(step: number): number {
  const fall = totalSteps * 0.25;
  return Math.min(1, (step + 1) / 100, Math.max(0.02, (totalSteps - step) / fall));
}

/** Sequences of similar length in micro-batches of at most `microTokens` tokens. */
function microBatches(batch: readonly Sequence[]): Sequence[][] {
  const sorted = [...batch].sort((a, b) => a.ids.length - b.ids.length);
  const groups: Sequence[][] = [];
  let tokens = microTokens;
  for (const s of sorted) {
    if (tokens + s.ids.length > microTokens) {
      groups.push([]);
      tokens = 0;
    }
    groups.at(-1)!.push(s);
    tokens += s.ids.length;
  }
  return groups;
}
const targets = (batch: readonly Sequence[]): number => batch.reduce((n, s) => n + s.ids.length - 1, 0);

function* batches(): Generator<Sequence[]> {
  for (let epoch = 0; ; epoch++) {
    let batch: Sequence[] = [];
    let tokens = 0;
    for (const s of random(seed, `epoch ${epoch}`).shuffle(training)) {
      batch.push(s);
      tokens += s.ids.length;
      if (tokens >= batchTokens) {
        yield batch;
        batch = [];
        tokens = 0;
      }
    }
  }
}
async function heldOutLoss(): Promise<string> {
  const parts: string[] = [];
  for (const [name, sequences] of heldOut) {
    if (sequences.length === 0) continue;
    let sum = 0;
    for (const micro of microBatches(sequences)) sum += await engine.loss(micro);
    parts.push(`${name} ${(sum / targets(sequences)).toFixed(3)}`);
  }
  return parts.join(", ");
}
async function exportModel(): Promise<void> {
  const { parameters } = await engine.state();
  const views = parameterViews(layout, parameters);
  await writeSafetensors(
    `${args.out}/model.safetensors`,
    layout.entries.map(({ name, shape }) => toWrite(name, float32(shape, views.get(name)!), "F16")),
    { format: "pt" },
  );
  writeFileSync(`${args.out}/config.json`, `${JSON.stringify(config, null, 2)}\n`);
  writeFileSync(
    `${args.out}/generation_config.json`,
    `${JSON.stringify({ eos_token_id: [config.eos_token_id, config.pad_token_id], pad_token_id: config.pad_token_id }, null, 2)}\n`,
  );
}

const source = batches();
for (let skipped = 0; skipped < step; skipped++) source.next();
const start = performance.now();
const elapsed = (): number => (performance.now() - start) / 1000;
let smooth: number | undefined;
let seen = 0;
const first = step;
while (step < totalSteps && elapsed() < Number(args.minutes) * 60) {
  const batch = source.next().value as Sequence[];
  const scale = 1 / targets(batch);
  let loss = 0;
  for (const micro of microBatches(batch)) loss += await engine.accumulate(micro, scale, 0);
  const learningRate = Number(args.rate) * rateFactor(step);
  const norm = await engine.update({ learningRate, weightDecay: 0.05, maxNorm: 1, update: step + 1 });
  step += 1;
  seen += targets(batch);
  smooth = smooth === undefined ? loss : 0.95 * smooth + 0.05 * loss;
  if (step % 20 === 0) {
    const left = (elapsed() / (step - first)) * (totalSteps - step);
    console.log(
      `step ${step}: loss ${smooth.toFixed(3)}, norm ${norm.toFixed(2)}, rate ${learningRate.toExponential(2)}, ${Math.round(seen / elapsed())} tokens/s, ${formatDuration(left)} left`,
    );
  }
  if (step % 200 === 0 || step === totalSteps) {
    saveState(step, await engine.state());
    console.log(`held out: ${await heldOutLoss()}`);
    await exportModel();
  }
}
saveState(step, await engine.state());
await exportModel();
console.log(`held out: ${await heldOutLoss()}; stopped at step ${step}`);
await engine[Symbol.asyncDispose]();
