/** The model card: the facts of a run in the manner of model hubs, as Markdown with a YAML head, and as a section of the page. */
import { basename, isAbsolute } from "node:path";
import { stringify } from "yaml";
import { type Markup, markup } from "../../util/html/index.ts";
import { formatBytes, formatCount, formatDuration, visible } from "../../util/index.ts";
import { dataCommand, diagnoseCommand, evaluateCommand, rateCommands, trainCommand } from "./commands.ts";
import type { ReportedInterval, ReportedSystem } from "./evaluation-file.ts";
import { type Section, definitions } from "./parts.ts";
import type { ReportFacts } from "./types.ts";
import { type Verdict, verdictOf } from "./verdict.ts";
import { both, bothOf, code, figure, given, range, rate, share, systemText } from "./words.ts";

/** The name of the base as a hub knows it, or the file's or folder's own: no path of this machine is published. */
export function baseModel({ settings, origin }: ReportFacts): {
  readonly name: string;
  readonly onHub: boolean;
} {
  const onHub = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/.test(settings.model) && !isAbsolute(origin.modelName ?? "/");
  return onHub
    ? { name: settings.model.replace(/@.*$/, ""), onHub }
    : { name: localName(settings.model), onHub };
}

/** A folder that is only called `model` is named with the one it stands in. */
function localName(path: string): string {
  const parts = path.replaceAll("\\", "/").replace(/\/+$/, "").split("/");
  return parts.at(-1) === "model" && parts.length > 1 ? parts.slice(-2).join("-") : basename(parts.at(-1)!);
}

const datasetName = ({ settings }: ReportFacts): string =>
  basename(settings.data.train.replaceAll("\\", "/").replace(/\/+$/, ""));

/** ISO codes of the languages that the data hold at least one part in twenty of. */
export function languagesOf({ data, evaluation }: ReportFacts): readonly string[] {
  const details = data.found?.manifest.rules.find(({ name }) => name === "language")?.details;
  const counted = (details as { readonly languages?: Readonly<Record<string, unknown>> } | undefined)
    ?.languages;
  const counts = Object.entries(counted ?? {}).filter(
    (entry): entry is [string, number] => /^[a-z]{2}$/.test(entry[0]) && typeof entry[1] === "number",
  );
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  if (total > 0) return counts.filter(([, count]) => count >= total / 20).map(([name]) => name);
  const scripts = evaluation.found?.systems[0]?.slices.filter(({ by }) => by === "script") ?? [];
  return scripts.some(({ name }) => name === "cjk") ? ["zh"] : [];
}

export function modelCardText(facts: ReportFacts): string {
  const verdict = verdictOf(facts);
  const base = baseModel(facts);
  const languages = languagesOf(facts);
  const head = {
    base_model: base.name,
    library_name: "peft",
    pipeline_tag: "text-generation",
    ...(languages.length === 0 ? {} : { language: languages }),
    datasets: [datasetName(facts)],
    metrics: ["bleu", "rouge", "chrf", "perplexity"],
    tags: ["lora", `base_model:adapter:${base.name}`, "customer-service", "dialogue", "attune"],
    ...(verdict.tuned === undefined ? {} : { "model-index": [modelIndex(facts, verdict.tuned)] }),
  };
  return `---\n${stringify(head, { lineWidth: 0 })}---\n\n${body(facts, verdict).join("\n")}\n`;
}

const rounded = (value: number): number => Number(value.toPrecision(6));

function modelIndex(facts: ReportFacts, tuned: ReportedSystem): unknown {
  const of = (type: string, name: string, value: number | undefined): unknown[] =>
    value === undefined || !Number.isFinite(value) ? [] : [{ type, name, value: rounded(value) }];
  const { metrics, perplexity } = tuned;
  return {
    name: facts.name,
    results: [
      {
        task: { type: "text-generation", name: "Customer-service replies" },
        dataset: { name: datasetName(facts), type: datasetName(facts) },
        metrics: [
          ...of("bleu", "BLEU-4", metrics.bleu4.score),
          ...of("rouge", "ROUGE-L", 100 * metrics.rougeL.score),
          ...of("chrf", "chrF", metrics.chrf.score),
          ...of("perplexity", "Perplexity of held-out replies", perplexity?.score),
        ],
      },
    ],
  };
}

/** Text of a file as Markdown that shows it and does nothing else. */
export function markdownText(text: string): string {
  return visible(text)
    .replaceAll(/\s+/g, " ")
    .trim()
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(/[\\`*_{}[\]|#~$]/g, (sign) => `\\${sign}`);
}

const fence = (text: string): string => visible(text).replaceAll(/\s+/g, " ").replaceAll("```", "'''");

function body(facts: ReportFacts, verdict: Verdict): string[] {
  const { settings: s, curves, data, findings } = facts;
  const base = baseModel(facts);
  const finished = curves.found?.finished;
  const languages = languagesOf(facts);
  const lines = [
    `# ${markdownText(facts.name)}`,
    "",
    `A LoRA adapter for ${markdownText(base.name)}, fine-tuned on ${markdownText(datasetName(facts))} to answer customers in dialogue${languages.length === 0 ? "" : ` (${languages.join(", ")})`}. Made by ${markdownText(facts.madeBy)}, ${facts.date}.`,
    "",
    "## Use",
    "",
    "```sh",
    fence(`npx attune chat ${facts.paths.run}`),
    "```",
    "",
    "The adapter is in PEFT's format:",
    "",
    "```python",
    "from peft import PeftModel",
    "from transformers import AutoModelForCausalLM",
    `base = AutoModelForCausalLM.from_pretrained(${JSON.stringify(fence(base.name))})`,
    'model = PeftModel.from_pretrained(base, "adapter")',
    "```",
    "",
    "## Intended use and limits",
    "",
    "Drafting or giving replies to customers in the domain of the training data, in the languages that it holds.",
    "",
    "- Not for advice on health, law or money, and not for decisions about people.",
    "- Facts such as prices, dates and the state of orders are made up unless they stand in the conversation: check them against the shop's own systems.",
    "- Not trained to refuse: put a filter for unsafe text before and after it.",
    "",
    "## Training data",
    "",
    ...dataLines(facts),
    "",
    "## Training",
    "",
    `- LoRA rank ${s.lora.rank}, alpha ${s.lora.alpha}, dropout ${s.lora.dropout}, on ${markdownText(s.lora.targets === "all-linear" ? "all linear layers" : [s.lora.targets].flat().join(", "))}`,
    `- AdamW, learning rate ${s.optimizer.learningRate} (${markdownText(s.schedule.kind)}), batch ${s.training.batch} replies, ${s.training.steps === undefined ? `${s.training.epochs} epochs` : `${formatCount(s.training.steps)} steps`}, seed ${s.seed}`,
    ...(curves.found?.trainableParameters === undefined
      ? []
      : [`- ${formatCount(curves.found.trainableParameters)} trained parameters`]),
    ...(finished === undefined
      ? ["- The run has not ended."]
      : [
          `- Held-out loss ${figure(finished.before, 3)} → ${figure(finished.best, 3)} nats a token; kept: step ${figure(finished.bestStep, 0)} of ${figure(finished.step, 0)}`,
          `- ${formatDuration(finished.seconds)}${Number.isFinite(finished.predictedSeconds) ? ` (${formatDuration(finished.predictedSeconds)} predicted)` : ""}, ${rate(finished.tokensPerSecond)} tokens a second, at most ${Number.isFinite(finished.peakBytes) ? formatBytes(finished.peakBytes) : "–"} of memory${Number.isFinite(finished.predictedPeakBytes) ? ` (${formatBytes(finished.predictedPeakBytes)} predicted)` : ""}`,
        ]),
    "",
    "## Evaluation",
    "",
    ...evaluationLines(facts, verdict),
    "",
    "## Known faults",
    "",
    ...(findings.found === undefined
      ? [`Not diagnosed yet: \`${fence(diagnoseCommand(facts))}\`.`]
      : findings.found.findings.length === 0
        ? [`None of ${findings.found.lookedFor.length} detectors found anything.`]
        : findings.found.findings.map(
            ({ title, confidence }) => `- ${markdownText(title.en)} (${share(confidence, 0)} sure)`,
          )),
    "",
    "## Made by",
    "",
    "```sh",
    ...(data.found === undefined ? [] : [fence(dataCommand(facts))]),
    fence(trainCommand(facts)),
    fence(evaluateCommand(facts)),
    fence(diagnoseCommand(facts)),
    ...(facts.ratings.found === undefined ? [] : rateCommands(facts).map(fence)),
    "```",
    "",
    "## Licence",
    "",
    `An adapter is of use only with its base: the licence of ${markdownText(base.name)} and the rights in the training data bind it.`,
  ];
  return lines;
}

function dataLines({ data, origin }: ReportFacts): string[] {
  if (data.found === undefined) {
    const examples = origin.sources.reduce((sum, source) => sum + (source.examples ?? 0), 0);
    return [
      `${formatCount(examples)} examples in ${origin.sources.length} files. ${markdownText(data.missing.en)}`,
    ];
  }
  const { rows, splits, leaks, maxIntentShare } = data.found.manifest;
  return [
    `- ${formatCount(rows.read)} rows read, ${formatCount(rows.kept)} kept after cleaning, de-duplication and balancing`,
    `- ${formatCount(splits.train.replies)} replies to learn from, ${formatCount(splits.validation.replies)} to validate on, ${formatCount(splits.test.replies)} to test on, split by whole conversations`,
    `- ${formatCount(Object.keys(splits.train.intents).length)} intents; the largest has ${share(maxIntentShare)}`,
    `- ${formatCount(leaks.dialogueId + leaks.conversation + leaks.nearDuplicate)} leaks between the splits; ${share(leaks.sharedReplies)} of the held-out replies stand word for word in training`,
  ];
}

const cell = (interval: ReportedInterval | undefined, scale = 1): string =>
  interval === undefined
    ? "–"
    : `${figure(interval.score * scale)} (${range({ low: interval.low * scale, high: interval.high * scale })})`;

function evaluationLines(facts: ReportFacts, { bleu }: Verdict): string[] {
  const found = facts.evaluation.found;
  if (found === undefined) return [`Not evaluated yet: \`${fence(evaluateCommand(facts))}\`.`];
  const rows = found.systems.map(
    (system) =>
      `| ${markdownText(systemText(system).en)} | ${cell(system.metrics.bleu4)} | ${cell(system.metrics.rougeL, 100)} | ${cell(system.metrics.chrf)} | ${cell(system.perplexity)} | ${rate(system.speed?.ttftMsP50)} | ${rate(system.speed?.decodeTokensPerSecond)} |`,
  );
  return [
    `${formatCount(found.data.judged)} held-out replies, greedy decoding, 95 % intervals in brackets.`,
    "",
    "| system | BLEU-4 | ROUGE-L × 100 | chrF | perplexity | first token, ms | tokens/s |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows,
    "",
    ...(bleu === undefined
      ? []
      : [`BLEU-4 against the base: ${figure(bleu.difference.score)} (${range(bleu.difference)}).`]),
    ...(facts.ratings.found === undefined
      ? []
      : [
          "",
          ...facts.ratings.found.systems.map(
            ({ system, means, ratings }) =>
              `- People rated ${markdownText(system)} ${figure(means.overall.score)} of 6 (${range(means.overall)}; ${formatCount(ratings)} ratings)`,
          ),
        ]),
  ];
}

export function cardSection(facts: ReportFacts): Section {
  const base = baseModel(facts);
  const languages = languagesOf(facts);
  const verdict = verdictOf(facts);
  const text = (en: string, zh: string): Markup => both(en, zh);
  const { data, curves } = facts;
  const finished = curves.found?.finished;
  return {
    id: "card",
    title: { en: "Model card", zh: "模型卡" },
    lead: both(
      markup`What one who takes the adapter over must know. ${code("model-card.md")} beside this page holds it in the manner of model hubs.`,
      markup`接手该适配器的人需要知道的内容。同目录的 ${code("model-card.md")} 按模型社区的格式给出。`,
    ),
    body: markup`<div class="card">${definitions([
      [
        text("model", "模型"),
        markup`${given(facts.name)}: ${both("LoRA adapter in PEFT's format", "PEFT 格式的 LoRA 适配器")}`,
      ],
      [text("base model", "基础模型"), given(base.name)],
      [
        text("languages", "语言"),
        languages.length === 0 ? text("not known", "未知") : given(languages.join(", ")),
      ],
      [
        text("intended use", "用途"),
        text("Replies to customers in the domain of the training data.", "在训练数据所属领域内回复客户。"),
      ],
      [
        text("not for", "不适用于"),
        text(
          "Advice on health, law or money; decisions about people; facts that stand in no conversation, such as prices and the state of orders, unless they are checked.",
          "医疗、法律、财务建议；涉及个人的决策；对话中没有的事实（如价格、订单状态），除非另行核对。",
        ),
      ],
      [
        text("training data", "训练数据"),
        data.found === undefined
          ? bothOf(data.missing)
          : both(
              `${formatCount(data.found.manifest.splits.train.replies)} replies of ${formatCount(data.found.manifest.splits.train.conversations)} conversations`,
              `${formatCount(data.found.manifest.splits.train.conversations)} 段对话中的 ${formatCount(data.found.manifest.splits.train.replies)} 条回复`,
            ),
      ],
      [
        text("training", "训练"),
        finished === undefined
          ? text("not ended", "尚未结束")
          : both(
              `${figure(finished.step, 0)} steps in ${formatDuration(finished.seconds)}; held-out loss ${figure(finished.before, 3)} → ${figure(finished.best, 3)}`,
              `${figure(finished.step, 0)} 步，用时 ${formatDuration(finished.seconds)}；留出损失 ${figure(finished.before, 3)} → ${figure(finished.best, 3)}`,
            ),
      ],
      [
        text("quality", "质量"),
        verdict.tuned === undefined
          ? text("not evaluated", "尚未评估")
          : markup`BLEU-4 ${figure(verdict.tuned.metrics.bleu4.score)} <small>(${range(verdict.tuned.metrics.bleu4)})</small>, ROUGE-L ${figure(100 * verdict.tuned.metrics.rougeL.score)}, chrF ${figure(verdict.tuned.metrics.chrf.score)}`,
      ],
      [
        text("known faults", "已知问题"),
        facts.findings.found === undefined
          ? text("not diagnosed", "尚未诊断")
          : facts.findings.found.findings.length === 0
            ? text("none found", "未发现")
            : markup`<ul class="plain">${facts.findings.found.findings.map(({ title }) => markup`<li>${bothOf(title)}</li>`)}</ul>`,
      ],
      [
        text("licence", "许可"),
        text(
          "That of the base model, and the rights in the training data.",
          "受基础模型的许可及训练数据的权利约束。",
        ),
      ],
    ])}</div>`,
    commands: [],
  };
}
