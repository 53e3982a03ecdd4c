/** The training: its settings, its curves, what it warned of, and how replies changed while it ran. */
import { type Markup, NOTHING, chartLegend, lineChart, markup } from "../../../util/html/index.ts";
import { formatBytes, formatCount, formatDuration } from "../../../util/index.ts";
import { trainCommand } from "../commands.ts";
import type { RunCurves } from "../events.ts";
import {
  type Section,
  card,
  definitions,
  missingNote,
  moreDetails,
  tile,
  tiles,
  warning,
  warningList,
} from "../parts.ts";
import type { ReportFacts, Text } from "../types.ts";
import { both, bothOf, code, eachLanguage, figure, given, rate, share } from "../words.ts";

export function trainingSection(facts: ReportFacts): Section {
  const { curves } = facts;
  const command = trainCommand(facts);
  const found = curves.found;
  return {
    id: "training",
    title: { en: "The training", zh: "训练过程" },
    ...(found === undefined ? {} : { lead: lead(facts, found) }),
    body: markup`${found === undefined ? missingNote(curves.missing, command) : markup`${figures(found)}${remarks(found)}${pictures(found)}`}${settings(facts)}${found === undefined ? NOTHING : probes(found)}`,
    commands: [command],
  };
}

const reasons: Readonly<Record<string, Text>> = {
  completed: { en: "all steps were done", zh: "完成全部步数" },
  "early-stopped": { en: "stopped early, as validation no longer improved", zh: "验证不再改善，提前停止" },
  interrupted: { en: "interrupted", zh: "被中断" },
};

function lead({ settings }: ReportFacts, { finished, lastStep, plannedSteps }: RunCurves): Markup {
  if (finished === undefined) {
    return both(
      `The run has not ended: step ${formatCount(lastStep)}${plannedSteps === undefined ? "" : ` of ${formatCount(plannedSteps)}`} is the last that it told of.`,
      `训练尚未结束：最后记录到第 ${formatCount(lastStep)}${plannedSteps === undefined ? "" : ` / ${formatCount(plannedSteps)}`} 步。`,
    );
  }
  const reason = Object.hasOwn(reasons, finished.reason) ? reasons[finished.reason] : undefined;
  return markup`${both(
    `LoRA of rank ${settings.lora.rank}, ${formatCount(finished.step)} steps of ${settings.training.batch} replies. The adapter that is kept is that of step ${figure(finished.bestStep, 0)}, where the held-out loss was lowest.`,
    `秩为 ${settings.lora.rank} 的 LoRA，共 ${formatCount(finished.step)} 步，每步 ${settings.training.batch} 条回复。保留的是留出损失最低的第 ${figure(finished.bestStep, 0)} 步的适配器。`,
  )}${reason === undefined ? NOTHING : markup` ${both(`Ended: ${reason.en}.`, `结束原因：${reason.zh}。`)}`}`;
}

function figures({ finished, trainableParameters, totalParameters, evaluations }: RunCurves): Markup {
  const before = finished?.before ?? evaluations.find(({ step }) => step === 0)?.validationLoss;
  const losses = evaluations.map(({ validationLoss }) => validationLoss).filter(Number.isFinite);
  const best = finished?.best ?? (losses.length === 0 ? undefined : Math.min(...losses));
  return tiles([
    tile(
      `${figure(before, 3)} → ${figure(best, 3)}`,
      both("held-out loss, nats a token", "留出损失（奈特/词元）"),
      before !== undefined && best !== undefined && best < before ? "good" : "",
    ),
    tile(
      trainableParameters === undefined ? "–" : formatCount(trainableParameters),
      both(
        `parameters trained${totalParameters === undefined || trainableParameters === undefined ? "" : `, ${share(trainableParameters / totalParameters, 2)} of all`}`,
        `训练的参数${totalParameters === undefined || trainableParameters === undefined ? "" : `，占全部 ${share(trainableParameters / totalParameters, 2)}`}`,
      ),
    ),
    ...(finished === undefined
      ? []
      : [
          tile(
            formatDuration(finished.seconds),
            beside("training time", "训练时间", finished.predictedSeconds, formatDuration),
          ),
          tile(rate(finished.tokensPerSecond), both("tokens a second", "词元/秒")),
          tile(
            Number.isFinite(finished.peakBytes) ? formatBytes(finished.peakBytes) : "–",
            beside("peak memory", "内存峰值", finished.predictedPeakBytes, formatBytes),
          ),
          ...(finished.stepSeconds > 0
            ? [
                tile(
                  formatDuration(finished.stepSeconds),
                  beside("a step", "每步", finished.predictedStepSeconds, formatDuration),
                ),
              ]
            : []),
        ]),
  ]);
}

/** A tile's words, and what the plan had said, where it had. */
function beside(en: string, zh: string, predicted: number, format: (value: number) => string): Markup {
  if (!Number.isFinite(predicted)) return both(en, zh);
  return both(`${en}, predicted ${format(predicted)}`, `${zh}，预测 ${format(predicted)}`);
}

function remarks({ warnings, warningCount, broken, firstBroken, resumed }: RunCurves): Markup {
  const list = warnings.map(({ step, message }) =>
    warning(given(message), both(`told at step ${figure(step, 0)}`, `第 ${figure(step, 0)} 步`)),
  );
  if (warningCount > warnings.length)
    list.push(
      warning(
        both(
          `${warningCount - warnings.length} more warnings`,
          `另有 ${warningCount - warnings.length} 条警告`,
        ),
      ),
    );
  if (broken > 0) {
    list.push(
      warning(
        both(
          `${formatCount(broken)} lines of events.jsonl cannot be read, the first in line ${firstBroken}.`,
          `events.jsonl 有 ${formatCount(broken)} 行无法读取，首个在第 ${firstBroken} 行。`,
        ),
        both("The curves are drawn without them.", "曲线中不含这些行。"),
      ),
    );
  }
  const again =
    resumed === 0
      ? NOTHING
      : markup`<p class="note">${both(`Resumed ${resumed} ${resumed === 1 ? "time" : "times"}.`, `曾续训 ${resumed} 次。`)}</p>`;
  return markup`${warningList(list)}${again}`;
}

/** Means over a twentieth of the run: single batches are noise. */
function smoothed(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const window = Math.max(1, Math.round(points.length / 20));
  let sum = 0;
  return points.map(([x, y], i) => {
    sum += y - (i >= window ? points[i - window]![1] : 0);
    return [x, sum / Math.min(i + 1, window)] as const;
  });
}

const size = { width: 460, height: 240 } as const;
const words = {
  step: { en: "step", zh: "步" },
  loss: { en: "nats a token", zh: "奈特/词元" },
  norm: { en: "norm", zh: "范数" },
  rate: { en: "rate", zh: "学习率" },
  best: { en: "kept", zh: "保留" },
} as const;

function pictures({ steps, evaluations, finished }: RunCurves): Markup {
  if (steps.length === 0 && evaluations.length === 0) return NOTHING;
  const of = (key: "loss" | "gradientNorm" | "learningRate"): (readonly [number, number])[] =>
    steps.filter((one) => Number.isFinite(one[key])).map((one) => [one.step, one[key]] as const);
  const losses = of("loss");
  const validation = evaluations.map(({ step, validationLoss }) => [step, validationLoss] as const);
  const mark = finished !== undefined && Number.isFinite(finished.bestStep) ? finished.bestStep : undefined;
  const lossChart = (extent: { readonly width: number; readonly height: number }) =>
    eachLanguage((pick) =>
      lineChart(
        [
          { name: pick({ en: "training", zh: "训练" }), points: smoothed(losses), tone: 5 },
          { name: pick({ en: "validation", zh: "验证" }), points: validation, tone: 0 },
        ],
        {
          label: pick({ en: "training and validation loss by step", zh: "训练损失与验证损失随步数的变化" }),
          xUnit: pick(words.step),
          yUnit: pick(words.loss),
          ...(mark === undefined ? {} : { mark: { x: mark, name: pick(words.best) } }),
          ...extent,
        },
      ),
    );
  const loss = lossChart({ width: 940, height: 300 });
  const small = lossChart(size);
  const single = (
    key: "gradientNorm" | "learningRate",
    label: Text,
    unit: Text,
    tone: number,
    smooth: boolean,
  ): Markup =>
    eachLanguage((pick) =>
      lineChart([{ name: pick(label), points: smooth ? smoothed(of(key)) : of(key), tone }], {
        label: pick(label),
        xUnit: pick(words.step),
        yUnit: pick(unit),
        fromZero: true,
        ...size,
      }),
    );
  const legend = (pick: (text: Text) => string): Markup =>
    chartLegend([
      { name: pick({ en: "training, smoothed", zh: "训练（平滑）" }), tone: 5 },
      { name: pick({ en: "validation", zh: "验证" }), tone: 0 },
    ]);
  return markup`<div class="card"><h3>${both("Loss", "损失")}</h3><p class="note">${both(
    "Mean negative log-likelihood of a reply's tokens. Training is with dropout and smoothed over a twentieth of the run.",
    "回复词元的平均负对数似然。训练曲线含 dropout，并按全程的二十分之一平滑。",
  )}</p>${eachLanguage(legend)}<div class="wide">${loss}</div><div class="narrow">${small}</div></div>
  <div class="pair">${card(
    both("Gradient norm", "梯度范数"),
    single("gradientNorm", { en: "gradient norm by step", zh: "梯度范数随步数的变化" }, words.norm, 1, true),
    both("Before clipping, smoothed.", "裁剪之前，已平滑。"),
  )}${card(
    both("Learning rate", "学习率"),
    single("learningRate", { en: "learning rate by step", zh: "学习率随步数的变化" }, words.rate, 2, false),
    both("As the schedule set it.", "按学习率计划。"),
  )}</div>`;
}

function settings({ settings: s, origin }: ReportFacts): Markup {
  const targets = typeof s.lora.targets === "string" ? s.lora.targets : s.lora.targets.join(", ");
  const rows: (readonly [Markup, Markup])[] = [
    [both("base model", "基础模型"), given(s.model)],
    [
      both("adapter", "适配器"),
      both(
        markup`LoRA, rank ${s.lora.rank}, alpha ${s.lora.alpha}${s.lora.rsLora ? " (rank-stabilised)" : ""}, dropout ${s.lora.dropout}, on ${code(targets)}`,
        markup`LoRA，秩 ${s.lora.rank}，alpha ${s.lora.alpha}${s.lora.rsLora ? "（秩稳定）" : ""}，dropout ${s.lora.dropout}，作用于 ${code(targets)}`,
      ),
    ],
    [
      both("optimiser", "优化器"),
      both(
        `AdamW, learning rate ${s.optimizer.learningRate}, weight decay ${s.optimizer.weightDecay}, gradients clipped at ${s.optimizer.clipNorm}`,
        `AdamW，学习率 ${s.optimizer.learningRate}，权重衰减 ${s.optimizer.weightDecay}，梯度裁剪 ${s.optimizer.clipNorm}`,
      ),
    ],
    [both("schedule", "学习率计划"), given(s.schedule.kind)],
    [
      both("length", "时长"),
      s.training.steps === undefined
        ? both(`${s.training.epochs} epochs`, `${s.training.epochs} 轮`)
        : both(`${formatCount(s.training.steps)} steps`, `${formatCount(s.training.steps)} 步`),
    ],
    [both("batch", "批量"), both(`${s.training.batch} replies a step`, `每步 ${s.training.batch} 条回复`)],
    [
      both("precision", "精度"),
      both(
        markup`base ${code(s.training.base)}, adapter ${code("float32")}, on ${code(s.runtime.provider)}`,
        markup`基础模型 ${code(s.training.base)}，适配器 ${code("float32")}，运行于 ${code(s.runtime.provider)}`,
      ),
    ],
    [both("seed", "随机种子"), markup`${s.seed}`],
    ...(origin.weights === undefined
      ? []
      : [[both("fingerprint of the weights", "权重指纹"), code(origin.weights.slice(0, 16))] as const]),
  ];
  return card(
    both("Settings", "设置"),
    definitions(rows),
    both(
      "The ones that matter most; config.yaml holds all, with where each came from.",
      "仅列最重要的设置；config.yaml 中有全部设置及其来源。",
    ),
  );
}

function probes({ probes: told }: RunCurves): Markup {
  const [first, last] = [told[0], told[1]];
  if (first === undefined) return NOTHING;
  const rows = first.replies.map(({ prompt, reply, reference }, i) => {
    const after = last?.replies[i]?.prompt === prompt ? last.replies[i].reply : undefined;
    return markup`<li><p class="asked">${given(prompt)}</p><dl class="terms"><dt>${bothOf({ en: `step ${first.step}`, zh: `第 ${first.step} 步` })}</dt><dd>${given(reply)}</dd>${
      after === undefined || last === undefined
        ? NOTHING
        : markup`<dt>${bothOf({ en: `step ${last.step}`, zh: `第 ${last.step} 步` })}</dt><dd>${given(after)}</dd>`
    }<dt>${both("reference", "参考")}</dt><dd>${given(reference)}</dd></dl></li>`;
  });
  return markup`<div class="card"><h3>${both("How replies changed while it trained", "训练过程中回复的变化")}</h3>${moreDetails(
    both(`${rows.length} held-out customers`, `${rows.length} 位留出客户`),
    markup`<ul class="probes">${rows}</ul>`,
  )}</div>`;
}
