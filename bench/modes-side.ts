/** One mode of bench/modes.ts in a process of its own, so that its peak of memory is its own: prints a line of JSON. */
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onnxRuntime } from "../src/compute/runtime/index.ts";
import { dtypes, elementCount } from "../src/compute/tensor/index.ts";
import type { ResidentModel } from "../src/model/decoder/index.ts";
import { loadFrozenModel } from "../src/model/decoder/index.ts";
import { calibrateBase, calibrationRows, loadBase, prepareRun } from "../src/project/index.ts";
import { inEachLane } from "../src/train/index.ts";
import { parseJson } from "../src/util/index.ts";
import { peakBytes } from "./machine.ts";
import { type Detail, type Mode, type SideJob, details, nameOf } from "./modes-list.ts";
import { asARun } from "./sides.ts";
import { type Slope, compare, engineOf, runConfig, slopesOf } from "./slope.ts";

const job = parseJson(process.argv[2] ?? "", "the job") as SideJob;

const { steps, batch, microTokens, maxLength } = job;
const settings = { steps, batch, microTokens, maxLength, ...asARun(job.mode.base), ...job.mode };
const config = runConfig(job, settings, job.threads);

const reference = join(job.work, "float32-slope");

async function readReference(): Promise<Slope> {
  const bytes = await readFile(`${reference}.f32`);
  const gradient = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const { loss } = parseJson(await readFile(`${reference}.json`, "utf8"), reference) as { loss: number };
  return { loss, gradient };
}

function heldBytes(model: ResidentModel): number {
  return [...model.weights.values()].reduce(
    (sum, { dtype, shape }) => sum + dtypes[dtype].bytes * elementCount(shape),
    0,
  );
}

async function train(mode: Mode): Promise<Record<string, unknown>> {
  await using prepared = await prepareRun(config);
  const { plan, model: chat } = prepared;
  await using runtime = await onnxRuntime(job.threads === undefined ? {} : { threads: job.threads });
  const model = await loadBase(runtime, chat, config.training, {
    calibrated: await calibrateBase(runtime, chat, config.training, () =>
      calibrationRows(plan.training.batch(0).microBatches.flat()),
    ),
  });
  await using engine = await engineOf(model, prepared, config);
  const [slope] = (await slopesOf(engine, prepared, job.seed, 1)) as [Slope];
  if (nameOf(mode) === "float32") {
    await writeFile(`${reference}.f32`, new Uint8Array(slope.gradient.buffer));
    await writeFile(`${reference}.json`, JSON.stringify({ loss: slope.loss }));
  }
  const exact = await readReference();
  let [tokens, seconds, draw] = [0, 0, 0];
  const losses: number[] = [];
  for (let step = 0; step < job.steps; step++) {
    const batch = plan.training.batch(step);
    const began = performance.now();
    const passes = await inEachLane(engine, batch.microBatches, (micro, i, lane) =>
      engine.accumulate(micro, 1 / batch.weight, draw + i, { lane }),
    );
    draw += passes.length;
    const loss = passes.reduce((sum, one) => sum + one, 0);
    await engine.update({ learningRate: 3e-4, weightDecay: 0.01, maxNorm: 1, update: step + 1 });
    seconds += (performance.now() - began) / 1000;
    tokens += batch.tokens;
    losses.push(loss);
  }
  const { parameters } = await engine.state();
  await writeFile(join(job.work, `${nameOf(mode)}.adapter`), new Uint8Array(parameters.slice().buffer));
  return {
    tokensPerSecond: tokens / seconds,
    heldBytes: heldBytes(model),
    peakBytes: peakBytes(),
    lossError: slope.loss / exact.loss - 1,
    ...compare(slope.gradient, exact.gradient),
    lastLoss: losses.at(-1),
  };
}

/** Validation losses on the float32 base: of the untrained adapter, and of each mode's. */
async function judge(modes: readonly string[]): Promise<Record<string, unknown>> {
  await using prepared = await prepareRun(config);
  const { plan, model: chat } = prepared;
  await using runtime = await onnxRuntime(job.threads === undefined ? {} : { threads: job.threads });
  const model = await loadBase(runtime, chat, config.training);
  await using engine = await engineOf(model, prepared, config);
  const state = await engine.state();
  const validate = async (parameters: Float32Array): Promise<number> => {
    await engine.restore({ ...state, parameters });
    let [sum, weight] = [0, 0];
    for (const micro of plan.validation[0]!.microBatches.slice(0, job.validationBatches)) {
      sum += await engine.loss(micro);
      for (const { weights } of micro) for (const one of Array.from(weights)) weight += one;
    }
    return sum / weight;
  };
  const validation: Record<string, number> = { untrained: await validate(state.parameters) };
  for (const name of modes) {
    const path = join(job.work, `${name}.adapter`);
    await access(path);
    const bytes = await readFile(path);
    validation[name] = await validate(
      new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
    );
  }
  return { validation };
}

/** Loss and gradient of the first batch over bits, block sizes and layers. */
async function detail(rows: readonly Detail[]): Promise<Record<string, unknown>> {
  await using prepared = await prepareRun(config);
  const { model: chat } = prepared;
  await using runtime = await onnxRuntime(job.threads === undefined ? {} : { threads: job.threads });
  const exact = await readReference();
  const measured: Record<string, unknown>[] = [];
  for (const { name, frozen } of rows) {
    const model = await loadFrozenModel(runtime, chat.spec, chat.store, frozen);
    {
      await using engine = await engineOf(model, prepared, config);
      const [slope] = (await slopesOf(engine, prepared, job.seed, 1)) as [Slope];
      measured.push({
        name,
        lossError: slope.loss / exact.loss - 1,
        ...compare(slope.gradient, exact.gradient),
        heldBytes: heldBytes(model),
      });
    }
    for (const weight of model.weights.values()) await runtime.release(weight);
  }
  return { details: measured };
}

const result =
  job.role === "train"
    ? await train(job.mode)
    : job.role === "judge"
      ? await judge(job.modes)
      : await detail(details());
process.stdout.write(`${JSON.stringify(result)}\n`);
