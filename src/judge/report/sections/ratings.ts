/** What people say of the replies: means with intervals, how far raters agree, and whether the metrics agree with them. */
import { type Markup, NOTHING, markup } from "../../../util/html/index.ts";
import { formatCount } from "../../../util/index.ts";
import type { Aspect, RatingResults, SystemComparison } from "../../rate/index.ts";
import { scoreRows } from "../charts.ts";
import { rateCommands } from "../commands.ts";
import { type Section, card, missingNote, moreDetails, table, warning, warningList } from "../parts.ts";
import { phrase } from "../phrases.ts";
import type { ReportFacts, Text } from "../types.ts";
import { both, bothOf, figure, given, pValue, range, share, signed, systemName } from "../words.ts";

const aspects: readonly { readonly key: Aspect; readonly name: Text; readonly most: number }[] = [
  { key: "overall", name: { en: "Overall, 0–6", zh: "总分，0–6" }, most: 6 },
  { key: "fluency", name: { en: "Fluency, 0–3", zh: "流畅度，0–3" }, most: 3 },
  { key: "relevance", name: { en: "Relevance, 0–3", zh: "相关性，0–3" }, most: 3 },
  { key: "safety", name: { en: "Safety, 0–1", zh: "安全性，0–1" }, most: 1 },
];

export function ratingsSection(facts: ReportFacts): Section {
  const { ratings, evaluation, paths } = facts;
  const commands = rateCommands(facts);
  const found = ratings.found;
  const first = evaluation.found === undefined ? `attune evaluate ${paths.run}` : commands[0]!;
  return {
    id: "ratings",
    title: { en: "What people say", zh: "人工评分" },
    ...(found === undefined ? {} : { lead: lead(found) }),
    body:
      found === undefined
        ? markup`${missingNote(ratings.missing, first)}<p class="note">${both(
            "attune rate opens a page on which people judge one reply at a time without knowing which system wrote it: fluency 0–3, relevance 0–3, safety 0–1. Three raters on thirty prompts are a beginning. Run attune report again afterwards.",
            "attune rate 打开一个页面，评分者逐条评判回复而不知道出自哪个系统：流畅度 0–3、相关性 0–3、安全性 0–1。三位评分者评三十个提示即可起步，之后重新运行 attune report。",
          )}</p>`
        : markup`${warningList(found.tooFew.map(({ what, have, need }) => warning(both(markup`Too few: ${phrase(what)}`, markup`数量不足：${phrase(what)}`), both(`${formatCount(have)}; at least ${formatCount(need)} are needed.`, `现有 ${formatCount(have)}，至少需要 ${formatCount(need)}。`))))}${means(facts, found)}${comparisons(facts, found)}${agreement(found)}${disagreements(facts, found)}`,
    commands: found === undefined ? [] : commands,
  };
}

function lead({ ratings, replies, prompts, raters }: RatingResults): Markup {
  return both(
    `${formatCount(ratings)} ratings of ${formatCount(replies)} replies to ${formatCount(prompts)} prompts by ${formatCount(raters.length)} people, who did not know which system wrote what. Overall is fluency and relevance together, and 0 where a reply is unsafe.`,
    `${formatCount(raters.length)} 位评分者在不知道系统的情况下，对 ${formatCount(prompts)} 个提示的 ${formatCount(replies)} 条回复给出 ${formatCount(ratings)} 个评分。总分为流畅度与相关性之和，不安全的回复记 0 分。`,
  );
}

/** The evaluation's name for a system, where the evaluation knows it. */
function named({ evaluation }: ReportFacts, name: string): Markup {
  const known = evaluation.found?.systems.find((one) => one.name === name);
  return known === undefined ? given(name) : systemName(known);
}

function means(facts: ReportFacts, { systems }: RatingResults): Markup {
  const order = facts.evaluation.found?.systems.map(({ name }) => name) ?? [];
  const toneOf = (name: string, i: number): number => (order.includes(name) ? order.indexOf(name) : i) % 6;
  const cards = aspects.map(({ key, name, most }) =>
    card(
      bothOf(name),
      scoreRows(
        systems.slice(0, 12).map(({ system, means: of }, i) => ({
          name: named(facts, system),
          interval: of[key],
          tone: toneOf(system, i),
        })),
        { most },
      ),
    ),
  );
  return markup`<div class="pair">${cards.slice(0, 2)}</div><div class="pair">${cards.slice(2)}</div>`;
}

function comparisons(facts: ReportFacts, { comparisons: pairs }: RatingResults): Markup {
  if (pairs.length === 0) return NOTHING;
  return card(
    both("On the same prompts, overall", "相同提示下的总分比较"),
    table(
      [
        { head: both("systems", "系统") },
        { head: both("difference", "差值"), number: true },
        { head: both("prompts", "提示数"), number: true },
      ],
      pairs.slice(0, 30).map((pair) => {
        const { baseline, system, prompts, overall, difference } = seenFrom(facts, pair);
        const tone = difference.low > 0 ? "good" : difference.high < 0 ? "bad" : "off";
        return [
          markup`${named(facts, system)} − ${named(facts, baseline)}`,
          markup`<b class="${tone}">${signed(difference.score)}</b><br><small>${range(difference)}, ${pValue(overall.pValue)}</small>`,
          markup`${formatCount(prompts)}`,
        ];
      }),
    ),
  );
}

/** The run is compared with others, not others with it: a gain of the run is a plus. */
function seenFrom(
  { evaluation }: ReportFacts,
  pair: SystemComparison,
): SystemComparison & { readonly difference: SystemComparison["overall"]["difference"] } {
  const { difference } = pair.overall;
  const kind = evaluation.found?.systems.find(({ name }) => name === pair.baseline)?.kind;
  if (kind !== "tuned") return { ...pair, difference };
  const { score, mean, low, high } = difference;
  return {
    ...pair,
    baseline: pair.system,
    system: pair.baseline,
    difference: { ...difference, score: -score, mean: -mean, low: -high, high: -low },
  };
}

const metricNames: Readonly<Record<string, string>> = { bleu: "BLEU", rougeL: "ROUGE-L", chrf: "chrF" };

function agreement({ agreement: of, correlations, raters }: RatingResults): Markup {
  const questions = [
    ["fluency", both("fluency", "流畅度")],
    ["relevance", both("relevance", "相关性")],
    ["safety", both("safety", "安全性")],
  ] as const;
  const agreed = card(
    both("Do raters agree?", "评分者是否一致？"),
    table(
      [
        { head: both("question", "问题") },
        { head: both("Krippendorff's alpha", "Krippendorff α"), number: true },
        { head: both("equal pairs", "相同比例"), number: true },
        { head: both("replies", "回复数"), number: true },
      ],
      questions.map(([key, name]) => [
        name,
        markup`${figure(of[key].alpha, 3)}`,
        markup`${share(of[key].raw, 0)}`,
        markup`${formatCount(of[key].replies)}`,
      ]),
    ),
    both(
      "1 is full agreement, 0 is chance; 0.8 is firm ground, 0.67 is tentative. Where nearly every reply gets the same score, alpha is low however often raters agree: look at the equal pairs.",
      "1 为完全一致，0 相当于随机；0.8 以上可靠，0.67 以上可作初步结论。若几乎所有回复得分相同，即使评分者一致 α 也会很低，此时请看相同比例。",
    ),
  );
  const overall = correlations.filter(({ aspect }) => aspect === "overall");
  const metrics = card(
    both("Do the metrics see what people see?", "指标与人的判断一致吗？"),
    table(
      [
        { head: both("metric", "指标") },
        { head: markup`Spearman`, number: true },
        { head: markup`Pearson`, number: true },
        { head: both("replies", "回复数"), number: true },
      ],
      overall.map(({ metric, spearman, pearson, replies }) => [
        markup`${metricNames[metric] ?? metric}`,
        markup`${figure(spearman, 3)}`,
        markup`${figure(pearson, 3)}`,
        markup`${formatCount(replies)}`,
      ]),
    ),
    both("Correlation with the overall score, reply by reply.", "逐条回复与总分的相关系数。"),
  );
  const people = moreDetails(
    both(`${formatCount(raters.length)} raters`, `${formatCount(raters.length)} 位评分者`),
    table(
      [
        { head: both("rater", "评分者") },
        { head: both("ratings", "评分数"), number: true },
        { head: both("mean overall", "平均总分"), number: true },
        { head: both("against the others", "与他人之差"), number: true },
      ],
      raters
        .slice(0, 100)
        .map(({ rater, ratings, meanOverall, bias }) => [
          given(rater),
          markup`${formatCount(ratings)}`,
          markup`${figure(meanOverall)}`,
          markup`${signed(bias)}`,
        ]),
    ),
  );
  return markup`<div class="pair">${agreed}${metrics}</div>${people}`;
}

function disagreements(facts: ReportFacts, { disagreements: list, preferences }: RatingResults): Markup {
  const shown = list.slice(0, 5).map(({ system, prediction, question, ratings }) => {
    const scores = ratings.map(
      ({ rater, score, comment }) =>
        markup`${given(rater)} ${score}${comment === "" ? NOTHING : markup` “${given(comment.slice(0, 200))}”`}`,
    );
    const joined = scores.flatMap((one, i) => (i === 0 ? [one] : [markup`, `, one]));
    return markup`<li><p class="asked">${given(prediction.slice(0, 400))}</p><p class="note">${named(facts, system)} · ${given(question)}: ${joined}</p></li>`;
  });
  const pairs = markup`<p class="note">${both(
    `${formatCount(preferences.length)} pairs of a better and a worse reply are there for preference tuning (attune rate results … --preferences FILE).`,
    `可用于偏好训练的优劣回复对有 ${formatCount(preferences.length)} 个（attune rate results … --preferences FILE）。`,
  )}</p>`;
  if (shown.length === 0) return pairs;
  return markup`${moreDetails(both("Where raters disagree most", "分歧最大的回复"), markup`<ul class="probes">${shown}</ul>`)}${pairs}`;
}
