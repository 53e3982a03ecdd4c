/** How fast it answers and in how much memory, on which machine; and what of general language was forgotten. */
import { type Markup, NOTHING, markup } from "../../../util/html/index.ts";
import { formatBytes, formatCount } from "../../../util/index.ts";
import { evaluateCommand } from "../commands.ts";
import type { ReportedEvaluation, ReportedSystem } from "../evaluation-file.ts";
import { type Section, card, definitions, missingNote, table, tile, tiles } from "../parts.ts";
import type { ReportFacts, Text } from "../types.ts";
import { verdictOf } from "../verdict.ts";
import { both, bothOf, figure, given, rate, signed, systemName } from "../words.ts";

export function efficiencySection(facts: ReportFacts): Section {
  const { evaluation } = facts;
  const command = evaluateCommand(facts);
  const found = evaluation.found;
  const timed = found?.systems.filter(({ speed }) => speed !== undefined) ?? [];
  return {
    id: "efficiency",
    title: { en: "How fast it answers", zh: "效率" },
    lead: both(
      "One customer waits for the first word and then for the rest; many customers at once want throughput. Warm-up is not counted.",
      "单个客户关心首个词和后续速度；大量客户关心吞吐量。预热不计入。",
    ),
    body:
      found === undefined
        ? missingNote(evaluation.missing, command)
        : markup`${timed.length === 0 ? missingNote({ en: "Speed was not measured in this evaluation.", zh: "本次评估没有测量速度。" }, `${command.replace(/ --speed-seconds \S+/, "")} --speed-seconds 60`) : markup`${figures(facts)}${speeds(timed, found)}${byPrompt(timed)}`}${machine(found)}`,
    commands: found === undefined ? [] : [command],
  };
}

function figures(facts: ReportFacts): Markup {
  const { tuned } = verdictOf(facts);
  const speed = tuned?.speed;
  if (tuned === undefined || speed === undefined) return NOTHING;
  return tiles([
    tile(`${rate(speed.ttftMsP50)} ms`, both("to the first token, median", "首词元延迟中位数")),
    tile(`${rate(speed.ttftMsP95)} ms`, both("to the first token, 95 of 100", "首词元延迟 P95")),
    tile(rate(speed.decodeTokensPerSecond), both("tokens a second, one customer", "词元/秒（单客户）")),
    tile(rate(tuned.generation.repliesPerSecond), both("replies a second, batched", "回复/秒（批量）")),
  ]);
}

function speeds(timed: readonly ReportedSystem[], { settings }: ReportedEvaluation): Markup {
  const rows: readonly (readonly [Markup, (system: ReportedSystem) => string])[] = [
    [
      both("time to first token, median, ms", "首词元延迟中位数，毫秒"),
      ({ speed }) => rate(speed?.ttftMsP50),
    ],
    [
      both("time to first token, 95th percentile, ms", "首词元延迟 P95，毫秒"),
      ({ speed }) => rate(speed?.ttftMsP95),
    ],
    [
      both("reading the prompt, tokens a second", "读取提示，词元/秒"),
      ({ speed }) => rate(speed?.prefillTokensPerSecond),
    ],
    [
      both("writing the reply, tokens a second", "生成回复，词元/秒"),
      ({ speed }) => rate(speed?.decodeTokensPerSecond),
    ],
    [
      both("replies a second, one at a time", "回复/秒，逐条"),
      ({ speed }) => rate(speed?.repliesPerSecondAlone),
    ],
    [
      both(`replies a second, ${settings.batch} at once`, `回复/秒，${settings.batch} 条并行`),
      ({ generation }) => rate(generation.repliesPerSecond),
    ],
    [
      both("batch against one at a time", "并行与逐条之比"),
      ({ generation }) => (generation.speedup === undefined ? "–" : `${figure(generation.speedup, 1)} ×`),
    ],
    [both("tokens a reply, mean", "回复平均词元数"), ({ meanReplyTokens }) => rate(meanReplyTokens)],
    [
      both("measured prompts, replies", "测量的提示数、回复数"),
      ({ speed }) =>
        `${formatCount(speed?.measuredPrompts ?? 0)}, ${formatCount(speed?.measuredReplies ?? 0)}`,
    ],
  ];
  return card(
    both("Speed", "速度"),
    table(
      [
        { head: both("what", "项目") },
        ...timed.map((system) => ({ head: systemName(system), number: true })),
      ],
      rows.map(([name, cell]) => [name, ...timed.map((system) => markup`${cell(system)}`)]),
    ),
    both("Time to first token includes the template and tokenising.", "首词元延迟包含套用模板和分词的时间。"),
  );
}

function byPrompt(timed: readonly ReportedSystem[]): Markup {
  const prompts = [...new Set(timed.flatMap(({ speed }) => speed!.ttftByPrompt.map(({ prompt }) => prompt)))];
  if (prompts.length === 0) return NOTHING;
  prompts.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  return card(
    both("Time to first token by length of the prompt", "按提示长度的首词元延迟"),
    table(
      [
        { head: both("prompt, tokens", "提示词元数") },
        ...timed.map((system) => ({ head: markup`${systemName(system)}, ms`, number: true })),
      ],
      prompts.map((prompt) => [
        given(prompt),
        ...timed.map(({ speed }) => {
          const found = speed!.ttftByPrompt.find((one) => one.prompt === prompt);
          return found === undefined
            ? markup`–`
            : markup`${rate(found.p50Ms)} <small>(P95 ${rate(found.p95Ms)}; ${formatCount(found.prompts)})</small>`;
        }),
      ]),
    ),
    both(
      "Median, and in brackets the 95th percentile and how many were timed.",
      "中位数；括号内为 P95 与测量次数。",
    ),
  );
}

function machine({ machine: m, peakBytes }: ReportedEvaluation): Markup {
  return card(
    both("Machine", "机器"),
    definitions([
      [both("processor", "处理器"), given(m.cpu)],
      [
        both("threads", "线程"),
        both(`${m.threads} of ${m.cores} logical cores`, `${m.threads}（共 ${m.cores} 个逻辑核）`),
      ],
      [both("precision", "精度"), given(m.precision)],
      [both("runtime", "运行时"), given(`${m.runtime}, Node ${m.node}`)],
      [both("peak memory", "内存峰值"), markup`${peakBytes > 0 ? formatBytes(peakBytes) : "–"}`],
    ]),
  );
}

const texts: Readonly<Record<string, Text>> = {
  english: { en: "English", zh: "英文" },
  chinese: { en: "Chinese", zh: "中文" },
};

export function forgettingSection(facts: ReportFacts): Section {
  const { evaluation } = facts;
  const command = evaluateCommand(facts);
  const found = evaluation.found;
  return {
    id: "forgetting",
    title: { en: "What was forgotten", zh: "遗忘" },
    lead: both(
      "Perplexity of general text that has nothing to do with the task. A rise is language that fine-tuning has unlearned.",
      "与任务无关的通用文本的困惑度。上升说明微调遗忘了通用语言能力。",
    ),
    body: found === undefined ? missingNote(evaluation.missing, command) : forgotten(found, command),
    commands: found === undefined ? [] : [command],
  };
}

function forgotten({ systems }: ReportedEvaluation, command: string): Markup {
  const models = systems.filter(({ general }) => Object.keys(general).length > 0);
  const base = models.find(({ kind }) => kind === "base");
  const names = [...new Set(models.flatMap(({ general }) => Object.keys(general)))].slice(0, 20);
  if (names.length === 0) {
    return missingNote(
      { en: "This evaluation measured no general text.", zh: "本次评估没有测量通用文本。" },
      command,
    );
  }
  const rows = names.map((name) => [
    Object.hasOwn(texts, name) ? bothOf(texts[name]!) : given(name),
    ...models.map((system) => {
      const value = system.general[name]?.perplexity;
      const before = base?.general[name]?.perplexity;
      const change =
        system === base || value === undefined || before === undefined
          ? undefined
          : 100 * (value / before - 1);
      const tone = change === undefined ? "off" : change > 50 ? "bad" : change > 10 ? "warn" : "good";
      return markup`${figure(value, 1)}${change === undefined ? NOTHING : markup`<br><small class="${tone}">${signed(change, 0)} %</small>`}`;
    }),
  ]);
  return card(
    both("Perplexity of general text", "通用文本困惑度"),
    table(
      [
        { head: both("text", "文本") },
        ...models.map((system) => ({ head: systemName(system), number: true })),
      ],
      rows,
    ),
    both("Lower is better; the change is against the base.", "越低越好；百分比为相对基础模型的变化。"),
  );
}
