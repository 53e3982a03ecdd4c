/** The metrics: every system with its interval, the paired comparison, and the same by intent, turn, length and novelty. */
import { type Markup, NOTHING, markup } from "../../../util/html/index.ts";
import { formatCount } from "../../../util/index.ts";
import { type ScoreRow, scoreRows } from "../charts.ts";
import { evaluateCommand } from "../commands.ts";
import type { ReportedEvaluation, ReportedInterval, ReportedSystem } from "../evaluation-file.ts";
import { type Section, card, missingNote, moreDetails, table, warning, warningList } from "../parts.ts";
import { phrase } from "../phrases.ts";
import type { ReportFacts, Text } from "../types.ts";
import {
  both,
  bothOf,
  code,
  figure,
  given,
  pValue,
  range,
  share,
  signed,
  sliceName,
  systemName,
} from "../words.ts";

export function metricsSection(facts: ReportFacts): Section {
  const { evaluation } = facts;
  const command = evaluateCommand(facts);
  const found = evaluation.found;
  return {
    id: "metrics",
    title: { en: "The replies, measured", zh: "回复的自动评估" },
    ...(found === undefined ? {} : { lead: lead(found) }),
    body:
      found === undefined
        ? missingNote(evaluation.missing, command)
        : markup`${warningList(found.warnings.map((one) => warning(phrase(one))))}${overview(found)}${comparisons(found)}${figures(found)}${slices(found)}`,
    commands: found === undefined ? [] : [command],
  };
}

function lead({ data, systems }: ReportedEvaluation): Markup {
  const count = formatCount(data.judged);
  return both(
    markup`${count} of ${formatCount(data.replies)} held-out replies of ${given(data.path)}, answered greedily by ${systems.length} systems on the same prompts. ${share(data.seenShare, 0)} of the references stand word for word in training. Intervals hold the true value with 95 % confidence (bootstrap over replies).`,
    markup`在 ${given(data.path)} 的 ${formatCount(data.replies)} 条留出回复中取 ${count} 条，由 ${systems.length} 个系统在相同提示下贪心生成。其中 ${share(data.seenShare, 0)} 的参考回复在训练中逐字出现过。区间为 95 % 置信区间（对回复做自助抽样）。`,
  );
}

/** The colour of a system is its place in the evaluation, here and in its pictures. */
const toneOf = (index: number): number => index % 6;

function overview({ systems }: ReportedEvaluation): Markup {
  const rows = (of: (system: ReportedSystem) => ReportedInterval | undefined): ScoreRow[] =>
    systems.flatMap((system, i) => {
      const interval = of(system);
      return interval === undefined ? [] : [{ name: systemName(system), interval, tone: toneOf(i) }];
    });
  const perplexities = rows(({ perplexity }) => perplexity);
  // A base that has never seen the data would push all others into the corner.
  const perplexity =
    perplexities.length === 0
      ? NOTHING
      : card(
          both("Perplexity of the references", "参考回复的困惑度"),
          scoreRows(perplexities, { digits: 2 }),
          both("Weighted by tokens; lower is better.", "按词元加权；越低越好。"),
        );
  return markup`<div class="card"><h3>BLEU-4</h3><p class="note">${both("0–100, higher is better.", "0–100，越高越好。")}</p>${scoreRows(rows(({ metrics }) => metrics.bleu4))}</div>
  <div class="pair">${card(
    markup`ROUGE-L`,
    scoreRows(
      rows(({ metrics }) => metrics.rougeL),
      { scale: 100 },
    ),
    both("F × 100, higher is better.", "F 值 × 100，越高越好。"),
  )}${perplexity}</div>`;
}

function comparisons({ systems }: ReportedEvaluation): Markup {
  const compared = systems.filter(({ comparison }) => comparison !== undefined);
  if (compared.length === 0) return NOTHING;
  const cell = (
    { difference, pValue: p }: { difference: ReportedInterval; pValue: number },
    scale: number,
  ): Markup => {
    const scaled = { low: difference.low * scale, high: difference.high * scale };
    const tone = difference.low > 0 ? "good" : difference.high < 0 ? "bad" : "off";
    return markup`<b class="${tone}">${signed(difference.score * scale)}</b><br><small>${range(scaled)}, ${pValue(p)}</small>`;
  };
  return card(
    both("Against the base, on the same prompts", "与基础模型相比（相同提示）"),
    table(
      [
        { head: both("system", "系统") },
        { head: markup`BLEU-4`, number: true },
        { head: markup`ROUGE-L × 100`, number: true },
        { head: markup`chrF`, number: true },
      ],
      compared.map((system) => [
        systemName(system),
        cell(system.comparison!.bleu4, 1),
        cell(system.comparison!.rougeL, 100),
        cell(system.comparison!.chrf, 1),
      ]),
    ),
    both(
      "Differences with 95 % intervals; an interval without 0 in it is a real difference (paired bootstrap).",
      "差值及其 95 % 区间；区间不含 0 说明差异真实存在（配对自助检验）。",
    ),
  );
}

type Line = readonly [name: Markup, cell: (system: ReportedSystem) => Markup];

const withRange = (interval: ReportedInterval | undefined, scale = 1): Markup =>
  interval === undefined
    ? markup`–`
    : markup`${figure(interval.score * scale)}<br><small>${range({ low: interval.low * scale, high: interval.high * scale })}</small>`;

function figures({ systems }: ReportedEvaluation): Markup {
  const lines: readonly Line[] = [
    [markup`BLEU-4`, ({ metrics }) => withRange(metrics.bleu4)],
    [markup`ROUGE-1 × 100`, ({ metrics }) => withRange(metrics.rouge1, 100)],
    [markup`ROUGE-2 × 100`, ({ metrics }) => withRange(metrics.rouge2, 100)],
    [markup`ROUGE-L × 100`, ({ metrics }) => withRange(metrics.rougeL, 100)],
    [markup`chrF`, ({ metrics }) => withRange(metrics.chrf)],
    [both("perplexity", "困惑度"), ({ perplexity }) => withRange(perplexity)],
    [both("equal to the reference", "与参考完全相同"), ({ metrics }) => markup`${share(metrics.exact)}`],
    [
      both("different word pairs (distinct-2)", "不同二元组（distinct-2）"),
      ({ metrics }) => markup`${figure(metrics.distinct2, 3)}`,
    ],
    [
      both("repeated 4-grams, of references in brackets", "重复四元组（括号内为参考回复）"),
      ({ metrics }) => markup`${share(metrics.repetition4)} (${share(metrics.referenceRepetition4)})`,
    ],
    [
      both("length over that of the references", "长度与参考之比"),
      ({ metrics }) => markup`${figure(metrics.lengthRatio)}`,
    ],
    [both("empty replies", "空回复"), ({ metrics }) => markup`${formatCount(metrics.empty)}`],
    [
      both("ended by themselves", "自行结束"),
      ({ stoppedBy, kind }) =>
        markup`${kind === "retrieval" || kind === "frequent" ? "–" : share(stoppedBy["stop token"] ?? 0)}`,
    ],
    [
      both("prompts shortened, not answered", "被缩短、未回答的提示"),
      ({ shortenedPrompts, unansweredPrompts }) =>
        markup`${formatCount(shortenedPrompts)}, ${formatCount(unansweredPrompts)}`,
    ],
  ];
  const { signatures } = systems[0]!.metrics;
  return card(
    both("All figures", "全部指标"),
    markup`${table(
      [
        { head: both("metric", "指标") },
        ...systems.map((system) => ({ head: systemName(system), number: true })),
      ],
      lines.map(([name, cell]) => [name, ...systems.map(cell)]),
    )}<p class="note">${both("Signatures", "签名")}: ${code(signatures.bleu)} ${code(signatures.rouge)} ${code(signatures.chrf)}</p>`,
  );
}

const kinds: readonly {
  readonly by: "depth" | "seen" | "length" | "script" | "intent";
  readonly title: Text;
  readonly note: Text;
}[] = [
  {
    by: "intent",
    title: { en: "By intent", zh: "按意图" },
    note: { en: "Where the run helps, and where it fails.", zh: "在哪些意图上有效，在哪些上失败。" },
  },
  {
    by: "depth",
    title: { en: "By turn of the dialogue", zh: "按对话轮次" },
    note: {
      en: "Small models tend to lose the thread past five turns.",
      zh: "小模型在五轮之后容易失去上下文。",
    },
  },
  {
    by: "length",
    title: { en: "By length of the reference", zh: "按参考回复长度" },
    note: { en: "Words, or characters where they are Chinese.", zh: "按词计，中文按字计。" },
  },
  {
    by: "seen",
    title: { en: "By whether the reply was seen in training", zh: "按回复是否在训练中出现过" },
    note: {
      en: "Only new replies show what was learned beyond recall.",
      zh: "只有新的回复才能体现记忆之外的能力。",
    },
  },
  {
    by: "script",
    title: { en: "By script", zh: "按文字" },
    note: { en: "Of the reference.", zh: "以参考回复为准。" },
  },
];

const shownSlices = 8;

function slices(evaluation: ReportedEvaluation): Markup {
  const made = kinds.map(({ by, title, note }) => sliceCard(evaluation, by, title, note));
  return markup`<h3 class="between">${both("For whom", "对谁有效")}</h3><p class="lead">${both(
    "BLEU-4 with 95 % intervals. The number of replies is in brackets: below about 30 an interval is wide.",
    "BLEU-4 及 95 % 区间。括号内为回复数；少于约 30 条时区间很宽。",
  )}</p>${made}`;
}

function sliceCard(
  { systems }: ReportedEvaluation,
  by: ReportedSystem["slices"][number]["by"],
  title: Text,
  note: Text,
): Markup {
  const names = [
    ...new Set(
      systems.flatMap(({ slices: all }) => all.filter((one) => one.by === by).map(({ name }) => name)),
    ),
  ];
  if (names.length === 0 || (by === "script" && names.length < 2)) return NOTHING;
  const sliceOf = (system: ReportedSystem, name: string): ReportedSystem["slices"][number] | undefined =>
    system.slices.find((one) => one.by === by && one.name === name);
  // A reply that is always the same says nothing about who is helped.
  const drawn = systems
    .map((system, i) => ({ system, tone: toneOf(i) }))
    .filter(({ system }) => system.kind !== "frequent")
    .slice(0, 5);
  const most = Math.max(
    1e-9,
    ...drawn.flatMap(({ system }) =>
      names.slice(0, shownSlices).flatMap((name) => {
        const found = sliceOf(system, name)?.bleu4;
        return found === undefined ? [] : [found.score, found.high].filter(Number.isFinite);
      }),
    ),
  );
  const groups = names.slice(0, shownSlices).map((name) => {
    const rows = drawn.flatMap(({ system, tone }) => {
      const found = sliceOf(system, name);
      return found === undefined ? [] : [{ name: systemName(system), interval: found.bleu4, tone }];
    });
    const count = systems.flatMap((system) => sliceOf(system, name)?.count ?? [])[0] ?? 0;
    return markup`<div class="group"><h4>${sliceName(by, name)} <small>(${formatCount(count)})</small></h4>${scoreRows(rows, { most, digits: 1 })}</div>`;
  });
  return card(
    bothOf(title),
    markup`<div class="groups">${groups}</div>${moreDetails(
      both(`All ${names.length} as a table`, `以表格显示全部 ${names.length} 项`),
      table(
        [
          { head: both("part", "切片") },
          { head: both("replies", "回复数"), number: true },
          ...systems.map((system) => ({ head: systemName(system), number: true })),
        ],
        names.map((name) => [
          sliceName(by, name),
          markup`${formatCount(systems.flatMap((system) => sliceOf(system, name)?.count ?? [])[0] ?? 0)}`,
          ...systems.map((system) => {
            const found = sliceOf(system, name);
            return found === undefined
              ? markup`–`
              : markup`${figure(found.bleu4.score, 1)} <small>(${range(found.bleu4, 1)})</small><br><small>ROUGE-L ${figure(100 * found.rougeL.score, 1)}${found.perplexity === undefined ? "" : `, ppl ${figure(found.perplexity.score, 1)}`}, = ${share(found.exact, 0)}</small>`;
          }),
        ]),
      ),
    )}`,
    bothOf(note),
  );
}
