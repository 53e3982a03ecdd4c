/** `attune quickstart`: raw dialogues → clean data → a trained adapter → replies before and after, in a few minutes. */
import { rm } from "node:fs/promises";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { type Manifest, openDataset, prepareDataset } from "../../data/index.ts";
import { greedy } from "../../model/generate/index.ts";
import type { Message } from "../../model/text/index.ts";
import {
  fitPrompt,
  isRunFolder,
  openModelSource,
  prepareRun,
  refuseWithoutMemory,
  resolveConfig,
  runTraining,
  startResponder,
  trainConfigSchema,
} from "../../project/index.ts";
import type { RunEvent } from "../../train/index.ts";
import { UserError, formatCount, formatDuration } from "../../util/index.ts";
import { interruptSignal, interruptedExitCode } from "../interrupt.ts";
import { diagnoseRun } from "./diagnose.ts";
import { evaluateRun } from "./evaluate.ts";
import { writeReport } from "./report.ts";
import { type Output, bold, cyan, dim, green, terminalOutput } from "../terminal.ts";
import { sideBySide, wrap } from "../text-width.ts";
import { describePlan, trainingScreen } from "../train-screen.ts";

const assets = fileURLToPath(new URL("../../../assets/quickstart/", import.meta.url));
const folders = { run: "runs/quickstart", data: "runs/quickstart-data" } as const;

/** Chosen by trying: what gives readable replies of the shop within two minutes on two cores. */
const settings = {
  "lora.targets": "all-linear",
  "lora.dropout": 0.05,
  "optimizer.learningRate": 4e-3,
  "training.steps": 480,
  "training.batch": 8,
  "evaluation.every": 120,
  "schedule.kind": "cosine",
} as const;

interface QuickstartFlags {
  readonly steps?: string;
  readonly json?: boolean;
}

export function quickstartCommand(): Command {
  return new Command("quickstart")
    .description(
      "fine-tune the embedded model on embedded dialogues and compare replies, in about three minutes",
    )
    .option("--steps <n>", "fewer or more optimiser steps")
    .option("--json", "print events as JSON lines; the last is the result")
    .action(async (flags: QuickstartFlags) => {
      process.exitCode = await quickstart(flags, terminalOutput({ json: flags.json ?? false }));
    });
}

async function quickstart(flags: QuickstartFlags, output: Output): Promise<number> {
  const began = performance.now();
  const model = relative(process.cwd(), `${assets}model`) || ".";
  await replaceEarlier();
  output.line(bold("Attune quick start"));
  for (const line of wrap(
    "A language model of 5.7 million parameters, trained from scratch by Attune on general service dialogues, learns to answer for one shop: Lantern Lane (灯巷茶铺), tea and tea ware, in English and Chinese. Nothing is fetched, nothing leaves this machine.",
    Math.min(output.width, 100),
  ))
    output.line(line);
  const interrupt = interruptSignal(() => output.notice("Stopping."));
  const { signal } = interrupt;
  try {
    title("1  Raw dialogues → a clean data set", output);
    const manifest = await clean(output, signal);

    title("2  Three customers, before training", output);
    const customers = await heldOutCustomers();
    const before = await answer(model, customers, signal);
    showCustomers(customers, before, output);

    title("3  Training an adapter (LoRA)", output);
    const finished = await train(model, flags, signal, output);
    if (finished === undefined) return interruptedExitCode;

    title("4  The same customers, before and after", output);
    const after = await answer(folders.run, customers, signal);
    compare(customers, before, after, output);

    title("5  Judging it: a small evaluation, a diagnosis, a report", output);
    const report = await judge(output);
    const seconds = (performance.now() - began) / 1000;
    const { validationLossBefore, validationLossBest } = finished;
    output.line(
      `${green("✓")} held-out loss ${validationLossBefore.toFixed(3)} → ${validationLossBest.toFixed(3)}: the right word is on average ${Math.exp(validationLossBefore - validationLossBest).toFixed(1)} times as likely as before. ${formatDuration(seconds)} in all.`,
    );
    output.line(`${green("✓")} the report: ${bold(report.page)} ${dim("(open it in a browser)")}`);
    whatNext(output);
    output.json({
      type: "result",
      run: folders.run,
      report: report.page,
      data: folders.data,
      rowsRead: manifest.rows.read,
      rowsKept: manifest.rows.kept,
      validationLossBefore,
      validationLossBest,
      tokensPerSecond: finished.tokensPerSecond,
      peakBytes: finished.peakBytes,
      seconds,
      samples: customers.map(({ messages, reference }, i) => ({
        messages,
        reference,
        before: before[i],
        after: after[i],
      })),
    });
    return 0;
  } finally {
    interrupt.dispose();
  }
}

/** Only what an earlier quick start made is replaced. */
async function replaceEarlier(): Promise<void> {
  if (await isRunFolder(folders.run)) {
    const config = await resolveConfig(trainConfigSchema, { file: `${folders.run}/config.yaml` });
    if (config.config.data.train !== folders.data) {
      throw new UserError(`${folders.run} holds a run that is not a quick start`, {
        next: "Move it away first.",
      });
    }
    await rm(folders.run, { recursive: true, force: true });
  }
}

function title(text: string, output: Output): void {
  output.line("");
  output.line(cyan(bold(text)));
}

async function clean(output: Output, signal: AbortSignal): Promise<Manifest> {
  const { manifest } = await prepareDataset(
    {
      sources: [`${assets}dialogues.jsonl`],
      out: folders.data,
      clean: { replyLength: { min: 2 } },
      shape: { split: { train: 0.85, validation: 0.1, test: 0.05 } },
    },
    {
      overwrite: true,
      signal,
      onProgress: ({ phase, done, fraction }) => {
        if (phase === "look") return;
        output.live(
          `${phase}: ${formatCount(done)} rows${fraction === undefined ? "" : `, ${Math.round(fraction * 100)} %`}`,
        );
      },
    },
  );
  const { rows, rejected, splits } = manifest;
  output.line(
    `${formatCount(rows.read)} rows read, ${formatCount(rows.kept)} kept. Rejected: ${Object.entries(rejected)
      .map(([rule, count]) => `${formatCount(count)} ${rule}`)
      .join(", ")}`,
  );
  output.line(
    `${formatCount(splits["train"]?.conversations ?? 0)} conversations to learn from, ${formatCount(splits["validation"]?.conversations ?? 0)} to measure on; none in both. ${dim(`${folders.data}/report.html shows every rule with examples`)}`,
  );
  return manifest;
}

interface Customer {
  readonly messages: readonly Message[];
  readonly reference: string;
}

/** Two English conversations and one Chinese from the validation part, of three intents, a few turns in. */
async function heldOutCustomers(): Promise<readonly Customer[]> {
  const dataset = await openDataset(folders.data);
  const chosen: Customer[] = [];
  const intents = new Set<string>();
  const wanted = [false, true, false];
  for await (const { messages, intent = "" } of dataset.examples("validation")) {
    const last = messages.at(-1)!;
    const chinese = /\p{Script=Han}/u.test(last.content);
    const turns = messages.filter(({ role }) => role === "user").length;
    const needed = wanted.filter((isChinese) => isChinese === chinese).length;
    const have = chosen.filter(({ reference }) => /\p{Script=Han}/u.test(reference) === chinese).length;
    if (
      turns !== 1 + have ||
      intents.has(intent) ||
      have >= needed ||
      last.content.length < 30 - (chinese ? 18 : 0)
    )
      continue;
    intents.add(intent);
    chosen.push({ messages: messages.slice(0, -1), reference: last.content });
    if (chosen.length === wanted.length) break;
  }
  if (chosen.length === 0) throw new Error("the validation part holds no customer to show");
  return chosen;
}

async function answer(
  reference: string,
  customers: readonly Customer[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  await using source = await openModelSource(reference);
  const maxNewTokens = 100;
  const requests = customers.map(({ messages }, key) => ({
    key,
    ids: fitPrompt(source.chat.renderer, messages, source.chat.spec.contextLength - maxNewTokens).ids,
  }));
  const capacity = Math.max(...requests.map(({ ids }) => ids.length)) + maxNewTokens;
  await using responder = await startResponder(source, { slots: customers.length, capacity });
  const options = { ...greedy, maxNewTokens, stopStrings: [], seed: 0 };
  const replies: string[] = customers.map(() => "");
  for await (const event of responder.reply(requests, options, capacity, signal)) {
    if (event.type === "reply") replies[event.key] = event.text.trim();
  }
  return replies;
}

function showConversation({ messages }: Customer, width: number, output: Output): void {
  for (const { role, content } of messages) {
    const name = role === "user" ? "customer  " : "shop      ";
    const [first, ...rest] = wrap(content, width - 10);
    output.line(dim(`${name}${first}`));
    for (const line of rest) output.line(dim(`          ${line}`));
  }
}

function showCustomers(customers: readonly Customer[], replies: readonly string[], output: Output): void {
  const width = Math.min(output.width, 100);
  for (const [i, customer] of customers.entries()) {
    if (i > 0) output.line("");
    showConversation(customer, width, output);
    const [first, ...rest] = wrap(replies[i]!, width - 10);
    output.line(`model     ${first}`);
    for (const line of rest) output.line(`          ${line}`);
  }
}

function compare(
  customers: readonly Customer[],
  before: readonly string[],
  after: readonly string[],
  output: Output,
): void {
  const width = Math.min(output.width, 100);
  for (const [i, customer] of customers.entries()) {
    const asked = customer.messages.at(-1)!.content;
    output.line("");
    for (const line of wrap(`customer  ${asked}`, width)) output.line(dim(line));
    const column = Math.floor((width - 3) / 2);
    output.line(`${bold("before".padEnd(column))} │ ${bold(green("after"))}`);
    for (const line of sideBySide(before[i]!, after[i]!, width)) output.line(line);
    for (const line of wrap(`the shop's own reply: ${customer.reference}`, width)) output.line(dim(line));
  }
  output.line("");
}

async function train(
  model: string,
  flags: QuickstartFlags,
  signal: AbortSignal,
  output: Output,
): Promise<Extract<RunEvent, { type: "finished" }> | undefined> {
  const { config, origins } = await resolveConfig(trainConfigSchema, {
    flags: {
      ...settings,
      model,
      data: folders.data,
      out: folders.run,
      ...(flags.steps === undefined ? {} : { "training.steps": Number(flags.steps) }),
    },
  });
  await using prepared = await prepareRun(config, { notice: output.notice });
  describePlan(prepared, folders.run, output);
  refuseWithoutMemory(prepared);
  const show = trainingScreen(prepared, folders.run, output, { result: false });
  const run = { origins, folder: folders.run, resume: false, signal, notice: output.notice };
  for await (const event of runTraining(prepared, run)) {
    // The result line of the whole command comes at its end.
    show(event);
    if (event.type === "finished") return event.reason === "interrupted" ? undefined : event;
  }
  return undefined;
}

/** Few replies and little time: what a first report needs. */
async function judge(output: Output): Promise<{ readonly page: string }> {
  const asked = { limit: 40, batch: 16, maxNewTokens: 80, samples: 300, seed: 0 } as const;
  await evaluateRun(folders.run, { ...asked, speedSeconds: 3 }, output);
  const findings = await diagnoseRun(folders.run, { ...asked, speedSeconds: 0 }, output);
  output.clear();
  for (const { title } of findings) output.line(`  ${title.en}`);
  const { page } = await writeReport(folders.run, {}, output);
  output.clear();
  return { page };
}

function whatNext(output: Output): void {
  const rows: readonly (readonly [string, string])[] = [
    ["npx attune chat runs/quickstart", "talk to it"],
    ["npx attune rate runs/quickstart/evaluation/predictions.jsonl", "let people judge the replies"],
    ["npx attune data report runs/quickstart-data", "how the data were cleaned"],
    ["npx attune doctor", "what this machine can do"],
    [
      "npx attune train --model HuggingFaceTB/SmolLM2-135M-Instruct --data runs/quickstart-data",
      "a real model (270 MB)",
    ],
    ["npx attune train examples/train.yaml --dry-run", "every setting, with where it comes from"],
  ];
  output.line(`\n${bold("What next")}`);
  for (const [command, what] of rows) output.line(`  ${command}   ${dim(what)}`);
}
