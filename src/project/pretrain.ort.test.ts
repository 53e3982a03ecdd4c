/** Pre-training through whole runs: the loss falls, the model opens, a run that was interrupted goes on bit for bit. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChatModel } from "../model/index.ts";
import { type RunEvent, withoutTimes } from "../train/index.ts";
import { openModelSource } from "./model-source.ts";
import { type PretrainConfig, pretrainConfigSchema, trainConfigOf } from "./pretrain-schema.ts";
import { makeStart } from "./pretrain-start.ts";
import { preparePretraining, prepareRun, runTraining } from "./train-run.ts";

const quickstart = fileURLToPath(new URL("../../assets/quickstart", import.meta.url));
let root: string;
let text: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-pretrain-"));
  text = join(root, "text.jsonl");
  const lines = (await readFile(join(quickstart, "train.jsonl"), "utf8")).split("\n").slice(0, 120);
  const rows = lines.map((line) =>
    JSON.stringify({ text: (JSON.parse(line) as { response: string }).response }),
  );
  await writeFile(text, rows.join("\n"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const configOf = (changes: Record<string, unknown> = {}): PretrainConfig =>
  pretrainConfigSchema.parse({
    data: { train: text, validationShare: 0.1 },
    tokenizer: { vocabulary: 320 },
    shape: { hiddenSize: 16, layers: 1, heads: 2, mlpWidth: 24, context: 32 },
    training: { steps: 12, batchTokens: 256, microTokens: 128 },
    optimizer: { learningRate: 0.02 },
    evaluation: { every: 4 },
    checkpoint: { every: 4 },
    runtime: { threads: 1 },
    ...changes,
  });

async function collect(
  prepared: ReturnType<typeof preparePretraining>,
  folder: string,
  resume: boolean,
  stopAt?: number,
): Promise<RunEvent[]> {
  await using run = prepared;
  const events: RunEvent[] = [];
  const abort = new AbortController();
  const options = { folder, resume, origins: new Map<string, string>(), signal: abort.signal };
  for await (const event of runTraining(run, options)) {
    events.push(event);
    if (event.type === "step" && event.step === stopAt) abort.abort();
  }
  return events;
}

async function pretrain(config: PretrainConfig, folder: string, stopAt?: number): Promise<RunEvent[]> {
  const prepared = preparePretraining(trainConfigOf(config, folder), await makeStart(config), {
    isNew: true,
  });
  return collect(prepared, folder, false, stopAt);
}

const told = (events: readonly RunEvent[]): unknown[] =>
  events.filter(({ type }) => type === "step" || type === "evaluation").map(withoutTimes);

test("the loss falls from chance, and what is saved opens as a model with its tokenizer and template", async () => {
  const folder = join(root, "run");
  const events = await pretrain(configOf(), folder);
  const losses = events.flatMap((event) => (event.type === "evaluation" ? [event.validationLoss] : []));
  expect(Math.abs(losses[0]! - Math.log(320))).toBeLessThan(0.05);
  expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.5);
  const model = join(folder, "model");
  await using source = await openModelSource(folder);
  expect(source.chat.spec).toMatchObject({
    layers: 1,
    hiddenSize: 16,
    vocabulary: 320,
    tiedEmbeddings: true,
  });
  const opened = await openChatModel(model);
  expect(opened.defaultTemplate).toBe(false);
  expect(opened.renderer.prompt([{ role: "user", content: "tea?" }]).length).toBeGreaterThan(4);
  await opened.close();
  expect((await readdir(join(folder, "tensorboard"))).length).toBe(1);
});

test("transformers opens it, and its loss is ours", async (context) => {
  const python = process.env["ATTUNE_PYTHON"];
  if (python === undefined) return context.skip("ATTUNE_PYTHON names no Python with transformers");
  const folder = join(root, "for-transformers");
  const events = await pretrain(configOf({ data: { train: text, validation: text } }), folder);
  const ours = events.findLast((event) => event.type === "evaluation")!.validationLoss;
  const script = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer, model = AutoTokenizer.from_pretrained(sys.argv[1]), AutoModelForCausalLM.from_pretrained(sys.argv[1])
assert tokenizer.apply_chat_template([{"role": "user", "content": "tea?"}], tokenize=False).startswith("<|im_start|>user")
total = count = 0
for line in open(sys.argv[2]):
    ids = tokenizer(json.loads(line)["text"], add_special_tokens=False)["input_ids"] + [tokenizer.pad_token_id]
    for at in range(0, len(ids) - 1, 31):
        piece = torch.tensor([ids[at:at + 32]])
        with torch.no_grad():
            logits = model(input_ids=piece).logits
        total += torch.nn.functional.cross_entropy(logits[0, :-1], piece[0, 1:], reduction="sum").item()
        count += piece.shape[1] - 1
print(total / count)`;
  const { stdout } = await promisify(execFile)(python, ["-c", script, join(folder, "model"), text], {
    timeout: 100_000,
  });
  expect(Math.abs(Number(stdout.trim().split("\n").at(-1)) / ours - 1)).toBeLessThan(1e-4);
}, 120_000);

test("a run that is interrupted goes on bit for bit", async () => {
  const whole = await pretrain(configOf(), join(root, "whole"));
  const folder = join(root, "parts");
  const first = await pretrain(configOf(), folder, 6);
  expect(first.at(-1)).toMatchObject({ type: "finished", reason: "interrupted", step: 6 });
  // The corpus may be gone: the run holds its tokens.
  const prepared = await prepareRun(
    trainConfigOf(configOf({ data: { train: "gone.txt", validationShare: 0.1 } }), folder),
  );
  const rest = await collect(prepared, folder, true);
  expect(told([...first, ...rest])).toEqual(told(whole));
  const weights = (run: string) => readFile(join(root, run, "model", "model.safetensors"));
  expect(await weights("parts")).toEqual(await weights("whole"));
});
