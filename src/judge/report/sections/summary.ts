/** The first screen: better or not, by how much, for whom, how fast, what is wrong, what to change. */
import { type Markup, NOTHING, markup } from "../../../util/html/index.ts";
import { formatBytes, formatCount } from "../../../util/index.ts";
import { diagnoseCommand, evaluateCommand, remedyCommand } from "../commands.ts";
import { type Section, tile, tiles } from "../parts.ts";
import type { ReportFacts } from "../types.ts";
import { type SliceGain, type Verdict, verdictOf } from "../verdict.ts";
import {
  both,
  bothOf,
  code,
  figure,
  given,
  pValue,
  range,
  rate,
  share,
  signed,
  sliceName,
  systemName,
} from "../words.ts";

export function summarySection(facts: ReportFacts): Section {
  const verdict = verdictOf(facts);
  return {
    id: "summary",
    title: { en: "Summary", zh: "摘要" },
    body: markup`${headline(facts, verdict)}${figures(facts, verdict)}${answers(facts, verdict)}`,
    commands: [],
  };
}

const tones = { better: "good", worse: "bad", unclear: "warn", unknown: "" } as const;

function headline(facts: ReportFacts, verdict: Verdict): Markup {
  const { outcome, bleu, beatenBy, people } = verdict;
  const judged = facts.evaluation.found?.data.judged ?? 0;
  const said = {
    better: both("The fine-tuned model is better than its base.", "微调后的模型优于基础模型。"),
    worse: both("The fine-tuned model is worse than its base.", "微调后的模型不如基础模型。"),
    unclear: both("No difference from the base is proven.", "尚不能证明与基础模型有差异。"),
    unknown:
      facts.evaluation.found === undefined
        ? both("Whether it is better than its base is not measured yet.", "是否优于基础模型尚未测量。")
        : both("This evaluation does not compare the run with its base.", "本次评估没有与基础模型比较。"),
  }[outcome];
  const how =
    bleu === undefined
      ? lossLine(facts)
      : both(
          markup`BLEU-4 ${signed(bleu.difference.score)} points on ${formatCount(judged)} held-out replies (95 % interval ${range(bleu.difference)}, ${pValue(bleu.pValue)}).`,
          markup`在 ${formatCount(judged)} 条留出回复上 BLEU-4 ${signed(bleu.difference.score)} 分（95 % 区间 ${range(bleu.difference)}，${pValue(bleu.pValue)}）。`,
        );
  const heard =
    people === undefined
      ? NOTHING
      : markup`<p>${both(
          `People: ${signed(people.difference)} of 6 on ${formatCount(people.prompts)} prompts (95 % interval ${range(people)}).`,
          `人工评分：在 ${formatCount(people.prompts)} 个提示上相差 ${signed(people.difference)} 分（满分 6，95 % 区间 ${range(people)}）。`,
        )}</p>`;
  const caveat =
    beatenBy === undefined
      ? NOTHING
      : markup`<p>${both(
          markup`Looking the nearest training reply up scores higher still (BLEU-4 ${figure(beatenBy.metrics.bleu4.score)} against ${figure(verdict.tuned?.metrics.bleu4.score)}): a longer training or a larger base has room.`,
          markup`但直接检索最相近的训练回复得分更高（BLEU-4 ${figure(beatenBy.metrics.bleu4.score)}，模型为 ${figure(verdict.tuned?.metrics.bleu4.score)}）：延长训练或换用更大的基础模型仍有提升空间。`,
        )}</p>`;
  return markup`<div class="verdict ${tones[outcome]}"><p class="said">${said}</p><p>${how}</p>${heard}${caveat}</div>`;
}

/** Where nothing was evaluated the training itself still says something. */
function lossLine({ curves, paths }: ReportFacts): Markup {
  const finished = curves.found?.finished;
  const todo = both(
    markup`${code(`attune evaluate ${paths.run}`)} measures the replies.`,
    markup`${code(`attune evaluate ${paths.run}`)} 可评估回复质量。`,
  );
  if (finished === undefined || !(finished.best < finished.before)) return todo;
  const times = rate(Math.exp(finished.before - finished.best));
  return markup`${both(
    `The loss on held-out replies fell from ${figure(finished.before, 3)} to ${figure(finished.best, 3)}: the right word is ${times} times as likely as before.`,
    `留出回复上的损失从 ${figure(finished.before, 3)} 降到 ${figure(finished.best, 3)}：正确词的概率约为原来的 ${times} 倍。`,
  )} ${todo}`;
}

function figures(facts: ReportFacts, { tuned, base, outcome }: Verdict): Markup {
  const { curves, ratings } = facts;
  const finished = curves.found?.finished;
  const list: Markup[] = [];
  const arrow = (before: number | undefined, after: number | undefined, digits: number): string =>
    before === undefined ? figure(after, digits) : `${figure(before, digits)} → ${figure(after, digits)}`;
  if (tuned !== undefined) {
    list.push(
      tile(
        arrow(base?.metrics.bleu4.score, tuned.metrics.bleu4.score, 1),
        both("BLEU-4, base → fine-tuned", "BLEU-4，基础 → 微调后"),
        outcome === "better" ? "good" : outcome === "worse" ? "bad" : "",
      ),
    );
    if (tuned.perplexity !== undefined)
      list.push(
        tile(
          arrow(base?.perplexity?.score, tuned.perplexity.score, 1),
          both("perplexity, lower is better", "困惑度，越低越好"),
        ),
      );
  }
  if (finished !== undefined)
    list.push(
      tile(arrow(finished.before, finished.best, 2), both("held-out loss in training", "训练中的留出损失")),
    );
  const rated = ratings.found?.systems.find(({ system }) => system === tuned?.name);
  if (rated !== undefined)
    list.push(tile(`${figure(rated.means.overall.score, 1)} / 6`, both("rated by people", "人工评分")));
  if (tuned?.speed !== undefined) {
    list.push(
      tile(`${rate(tuned.speed.ttftMsP50)} ms`, both("to the first token", "首词元延迟")),
      tile(rate(tuned.speed.decodeTokensPerSecond), both("tokens a second", "词元/秒")),
    );
  }
  return list.length === 0 ? NOTHING : tiles(list);
}

function answers(facts: ReportFacts, verdict: Verdict): Markup {
  const rows: readonly (readonly [Markup, string, Markup])[] = [
    [both("By how much?", "提升多少？"), "metrics", howMuch(facts, verdict)],
    [both("For whom?", "对谁有效？"), "metrics", forWhom(facts, verdict)],
    [both("What do people say?", "人怎么看？"), "ratings", people(facts)],
    [both("How fast?", "有多快？"), "efficiency", howFast(facts, verdict)],
    [both("What is wrong?", "有什么问题？"), "findings", whatIsWrong(facts)],
    [both("What to change?", "如何改进？"), "findings", whatToChange(facts)],
  ];
  const made = rows.map(
    ([question, target, answer]) => markup`<dt><a href="#${target}">${question}</a></dt><dd>${answer}</dd>`,
  );
  return markup`<dl class="answers">${made}</dl>`;
}

const notMeasured = (command: string): Markup =>
  both(markup`Not measured yet: ${code(command)}`, markup`尚未测量：${code(command)}`);

function howMuch(facts: ReportFacts, { tuned, base, perplexityRatio }: Verdict): Markup {
  if (tuned === undefined) return notMeasured(evaluateCommand(facts));
  const pair = (before: number | undefined, after: number, digits = 1): string =>
    before === undefined ? figure(after, digits) : `${figure(before, digits)} → ${figure(after, digits)}`;
  const text = `BLEU-4 ${pair(base?.metrics.bleu4.score, tuned.metrics.bleu4.score)}, ROUGE-L ${pair(base === undefined ? undefined : 100 * base.metrics.rougeL.score, 100 * tuned.metrics.rougeL.score)}, chrF ${pair(base?.metrics.chrf.score, tuned.metrics.chrf.score)}`;
  const surprise =
    perplexityRatio === undefined
      ? NOTHING
      : perplexityRatio < 1
        ? both(
            `; the reference's next word is ${rate(1 / perplexityRatio)} times as likely on average`,
            `；参考回复的下一个词平均概率为原来的 ${rate(1 / perplexityRatio)} 倍`,
          )
        : both(
            `; perplexity rose to ${rate(perplexityRatio)} times that of the base`,
            `；困惑度升至基础模型的 ${rate(perplexityRatio)} 倍`,
          );
  return markup`<span translate="no">${text}</span>${surprise}. ${both(
    `${share(tuned.metrics.exact, 0)} of the replies are the reference word for word.`,
    `${share(tuned.metrics.exact, 0)} 的回复与参考逐字相同。`,
  )}`;
}

function forWhom(facts: ReportFacts, { tuned, gains }: Verdict): Markup {
  if (tuned === undefined) return notMeasured(evaluateCommand(facts));
  const of = (by: string): SliceGain[] => gains.filter(({ slice }) => slice.by === by);
  const name = ({ slice, gain }: SliceGain): Markup =>
    markup`${sliceName(slice.by, slice.name)} (${signed(gain, 1)})`;
  const intents = of("intent");
  const parts: Markup[] = [];
  const [first, last] = [intents[0], intents.at(-1)];
  if (first !== undefined && last !== undefined && first !== last) {
    parts.push(
      both(
        markup`Most for ${name(first)}, least for ${name(last)}.`,
        markup`收益最大的是 ${name(first)}，最小的是 ${name(last)}。`,
      ),
    );
  }
  const depths = of("depth");
  const long =
    depths.find(({ slice }) => slice.name === "6+") ?? depths.find(({ slice }) => slice.name === "3–5");
  const short = depths.find(({ slice }) => slice.name === "1–2");
  if (long !== undefined && short !== undefined) {
    parts.push(both(markup`${name(short)}, ${name(long)}.`, markup`${name(short)}，${name(long)}。`));
  }
  const fresh = tuned.slices.find(({ by, name: which }) => by === "seen" && which === "unseen");
  const known = tuned.slices.find(({ by, name: which }) => by === "seen" && which === "seen");
  if (fresh !== undefined && known !== undefined) {
    parts.push(
      both(
        `BLEU-4 on new replies ${figure(fresh.bleu4.score, 1)}, on those that stand in training ${figure(known.bleu4.score, 1)}.`,
        `新回复的 BLEU-4 为 ${figure(fresh.bleu4.score, 1)}，训练中出现过的为 ${figure(known.bleu4.score, 1)}。`,
      ),
    );
  }
  if (parts.length === 0) return both("Too few replies in any part to tell.", "各部分回复太少，无法判断。");
  return markup`${parts.flatMap((one, i) => (i === 0 ? [one] : [markup` `, one]))}`;
}

function people(facts: ReportFacts): Markup {
  const { ratings, paths, evaluation } = facts;
  if (ratings.found === undefined) {
    return notMeasured(
      evaluation.found === undefined
        ? `attune evaluate ${paths.run}`
        : `attune rate ${paths.evaluation}/predictions.jsonl`,
    );
  }
  const means = ratings.found.systems.slice(0, 6).flatMap(({ system, means: of }, i) => {
    const known = evaluation.found?.systems.find((one) => one.name === system);
    const name = known === undefined ? given(system) : systemName(known);
    return [i === 0 ? NOTHING : markup`, `, markup`${name} ${figure(of.overall.score, 1)}`];
  });
  const alpha = ratings.found.agreement.relevance.alpha;
  return markup`${both("Overall, of 6:", "总分（满分 6）：")} ${means}. ${both(
    `Agreement on relevance: alpha ${figure(alpha)}.`,
    `相关性一致性：α ${figure(alpha)}。`,
  )}`;
}

function howFast(facts: ReportFacts, { tuned }: Verdict): Markup {
  const found = facts.evaluation.found;
  if (tuned?.speed === undefined || found === undefined) {
    const finished = facts.curves.found?.finished;
    const trained =
      finished === undefined
        ? NOTHING
        : both(
            `It was trained at ${rate(finished.tokensPerSecond)} tokens a second. `,
            `训练速度 ${rate(finished.tokensPerSecond)} 词元/秒。`,
          );
    return markup`${trained}${notMeasured(evaluateCommand(facts))}`;
  }
  const { speed, generation } = tuned;
  return both(
    markup`First token after ${rate(speed.ttftMsP50)} ms (95 of 100 within ${rate(speed.ttftMsP95)} ms), then ${rate(speed.decodeTokensPerSecond)} tokens a second; ${rate(generation.repliesPerSecond)} replies a second in batches of ${found.settings.batch}. ${formatBytes(found.peakBytes)} at most, on ${found.machine.threads} threads of ${given(found.machine.cpu)}.`,
    markup`首词元 ${rate(speed.ttftMsP50)} 毫秒（P95 为 ${rate(speed.ttftMsP95)} 毫秒），之后每秒 ${rate(speed.decodeTokensPerSecond)} 词元；批量 ${found.settings.batch} 时每秒 ${rate(generation.repliesPerSecond)} 条回复。内存峰值 ${formatBytes(found.peakBytes)}，${given(found.machine.cpu)} 上 ${found.machine.threads} 线程。`,
  );
}

function whatIsWrong(facts: ReportFacts): Markup {
  const found = facts.findings.found;
  if (found === undefined) return notMeasured(diagnoseCommand(facts));
  if (found.findings.length === 0) {
    return both(
      `Nothing that ${found.lookedFor.length} detectors look for.`,
      `${found.lookedFor.length} 个检测器均未发现问题。`,
    );
  }
  const items = found.findings
    .slice(0, 4)
    .map(({ id, title }) => markup`<li><a href="#finding-${id}">${bothOf(title)}</a></li>`);
  const more =
    found.findings.length > 4
      ? markup`<li>${both(`and ${found.findings.length - 4} more`, `另有 ${found.findings.length - 4} 项`)}</li>`
      : NOTHING;
  return markup`<ul class="plain">${items}${more}</ul>`;
}

function whatToChange(facts: ReportFacts): Markup {
  const found = facts.findings.found;
  if (found === undefined) return notMeasured(diagnoseCommand(facts));
  const first = found.findings.find(({ remedy }) => remedy.set.length > 0) ?? found.findings[0];
  if (first === undefined) {
    return both(
      "Nothing by the diagnosis. More dialogues, a larger base model or longer training may still bring more.",
      "诊断没有建议。更多对话、更大的基础模型或更长的训练仍可能带来提升。",
    );
  }
  const { remedy, id } = first;
  const command = remedy.set.length > 0 ? remedyCommand(facts, id) : remedy.commands?.[0];
  return markup`${bothOf(remedy.text)}${command === undefined ? NOTHING : markup`<br>${code(command)}`}`;
}
