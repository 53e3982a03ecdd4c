/** The English phrases that evaluations, findings and ratings keep in their files, in the report's other language. */
import type { Markup } from "../../util/html/index.ts";
import type { Text } from "./types.ts";
import { both, given } from "./words.ts";

const exact: Readonly<Record<string, string>> = {
  "BLEU-4 from turn 3 on its own history": "从第 3 轮起基于自身历史的 BLEU-4",
  "BLEU-4 of the run": "本次训练的 BLEU-4",
  "BLEU-4 of the nearest training reply": "检索最近训练回复的 BLEU-4",
  "best validation loss over that of the base": "最佳验证损失 / 基础模型验证损失",
  "last validation loss": "最后的验证损失",
  "lowest validation loss": "最低验证损失",
  "validation loss": "验证损失",
  "validation loss before": "训练前的验证损失",
  "validation loss at the end": "结束时的验证损失",
  "validation loss above training loss": "验证损失高出训练损失",
  "training loss at the best step": "最佳步的训练损失",
  "training loss at the end": "结束时的训练损失",
  "training loss at the end over that at the start": "结束与开始时训练损失之比",
  "training loss at the end over the lowest": "结束时训练损失与最低值之比",
  "training loss without dropout": "无 dropout 的训练损失",
  "gap at the end": "结束时的差距",
  "rise of the validation loss since": "此后验证损失的上升",
  "fall of the validation loss": "验证损失的下降",
  "share of the gain at the end": "末段收益占比",
  "share of it in the second half": "后半段所占比例",
  "steps since the best": "距最佳步的步数",
  "steps in an epoch": "每轮步数",
  "steps whose gradient was clipped": "梯度被裁剪的步",
  "steps whose loss leapt": "损失突跳的步数",
  "median gradient norm": "梯度范数中位数",
  "gradient norm at the end over that at the start": "结束与开始时梯度范数之比",
  "learning rate": "学习率",
  "training replies": "训练回复数",
  "training replies given word for word": "逐字复述的训练回复",
  "held-out replies given word for word": "逐字给出的留出回复",
  "training replies with a placeholder": "含占位符的训练回复",
  "replies that stand word for word in training": "与训练数据逐字相同的回复",
  "replies that repeat the customer": "重复客户原话的回复",
  "replies stuck in a phrase": "陷入循环的回复",
  "repeated 4-grams (rep-4)": "重复四元组（rep-4）",
  "replies cut at the limit": "被长度上限截断的回复",
  "mean tokens a reply": "回复平均词元数",
  "empty replies": "空回复",
  "replies in another language": "其他语言的回复",
  "replies with a mark": "含标记的回复",
  "references with a mark": "含标记的参考回复",
  "replies with an unsafe word": "含不安全用语的回复",
  "the same of the base": "基础模型的同一数值",
  "share of the most frequent reply": "最常见回复占比",
  "different replies": "不同的回复数",
  "median ROUGE-L of the intents": "各意图 ROUGE-L 中位数",
  "prompts that differ from training": "与训练不一致的提示",
  "fingerprint changed": "指纹是否改变",
  "the model brought no template of its own": "模型自身没有对话模板",
  none: "无",
  "1e-4 to 2e-3 for LoRA": "LoRA 宜为 1e-4 至 2e-3",
  "below 15 %: then more data would add little": "低于 15 %：此时增加数据收益很小",
  "above 3 % where stopping is right": "应停止时高于 3 %",
  "at most half as much again": "至多高出一半",
  "below a third": "低于三分之一",
  "agreement: raters": "一致性：评分人数",
  "agreement: replies rated by two or more": "一致性：两人以上评分的回复",
  "correlation with metrics: rated replies with a reference": "与指标的相关：有参考回复的已评回复",
};

const by: Readonly<Record<string, string>> = {
  intent: "意图",
  depth: "轮次",
  length: "长度",
  seen: "是否见过",
  script: "文字",
};

const patterns: readonly (readonly [RegExp, (...parts: string[]) => string])[] = [
  [/^BLEU-4 at turns (.+)$/, (turns) => `第 ${turns} 轮的 BLEU-4`],
  [/^perplexity at turns (.+)$/, (turns) => `第 ${turns} 轮的困惑度`],
  [/^BLEU-4, (\w+) (.+) \((\d+)\)$/, (kind, name, n) => `BLEU-4，${by[kind!] ?? kind} ${name}（${n} 条）`],
  [/^ROUGE-L, (.+) \((\d+)\)$/, (name, n) => `ROUGE-L，${name}（${n} 条）`],
  [/^early facts recalled from turn 3 on \((\d+)\)$/, (n) => `第 3 轮起对早期信息的记忆（${n} 处）`],
  [/^perplexity of general text, (.+)$/, (name) => `通用文本困惑度，${name}`],
  [/^validation loss at step (\d+)$/, (step) => `第 ${step} 步的验证损失`],
  [/^above ([\d.]+(?: %)?)$/, (value) => `高于 ${value}`],
  [/^below ([\d.]+(?: %)?)$/, (value) => `低于 ${value}`],
  [/^about ([\d.]+)$/, (value) => `约 ${value}`],
  [/^at least ([\d.]+)$/, (value) => `至少 ${value}`],
  [/^base ([\d.]+)$/, (value) => `基础模型 ${value}`],
  [/^within ([\d.]+ %) of the lowest$/, (value) => `与最低值相差 ${value} 以内`],
  [/^as the references: ([\d.]+ %)$/, (value) => `与参考回复相当：${value}`],
  [/^on the data's history: ([\d.]+)$/, (value) => `基于数据历史：${value}`],
  [/^turns (\S+): ([\d.]+)$/, (turns, value) => `第 ${turns} 轮：${value}`],
  [/^step (\d+)$/, (step) => `第 ${step} 步`],
  [/^validation loss ([\d.]+)$/, (value) => `验证损失 ${value}`],
  [/^means of "(.+)": rated prompts$/, (system) => `“${system}”的均值：已评提示数`],
  [/^only (\d+) replies were judged: the intervals are wide$/, (n) => `只评判了 ${n} 条回复：区间很宽`],
  [
    /^the replies asked for are mostly Chinese, Japanese or Korean and the training replies are not: .*$/,
    () => "要求的回复以中日韩文字为主，而训练回复不是：这些数值意义不大",
  ],
  [
    /^the replies asked for are in another script than the training replies: .*$/,
    () => "要求的回复与训练回复文字不同：这些数值意义不大",
  ],
];

/** The Chinese of a phrase that Attune itself writes; `undefined` for any other. */
export function chineseOf(phrase: string): string | undefined {
  if (Object.hasOwn(exact, phrase)) return exact[phrase];
  if (/^[\d.,% +−-]+$/.test(phrase)) return phrase;
  for (const [pattern, made] of patterns) {
    const found = pattern.exec(phrase);
    if (found !== null) return made(...found.slice(1));
  }
  return undefined;
}

/** A phrase out of a file in both languages; one that is not known stands as it is. */
export function phrase(text: string): Markup {
  const zh = chineseOf(text);
  return zh === undefined ? given(text) : both(text, zh);
}

const rules: Readonly<Record<string, Text>> = {
  encoding: { en: "broken encoding", zh: "编码损坏" },
  structure: { en: "no customer or no reply", zh: "对话结构不完整" },
  "two-speakers": { en: "not two speakers", zh: "并非两方对话" },
  language: { en: "another language", zh: "其他语言" },
  echo: { en: "reply repeats the customer", zh: "回复复述客户" },
  "sensitive-words": { en: "sensitive words", zh: "敏感词" },
  "personal-data": { en: "personal data", zh: "个人信息" },
  "reply-length": { en: "reply too short or too long", zh: "回复过短或过长" },
  "exact-duplicate": { en: "exact duplicates", zh: "完全重复" },
  "near-duplicate": { en: "near-duplicates", zh: "近似重复" },
  boilerplate: { en: "boilerplate replies", zh: "模板化回复" },
  "intent-balance": { en: "balance of intents", zh: "意图均衡" },
  "cross-split-duplicate": { en: "duplicates across splits", zh: "跨集合重复" },
  "source-mix": { en: "mix of sources", zh: "来源配比" },
  "json-syntax": { en: "broken JSON", zh: "JSON 语法错误" },
  "missing-field": { en: "missing field", zh: "缺少字段" },
  "wrong-type": { en: "wrong type", zh: "类型错误" },
  "unknown-role": { en: "unknown role", zh: "未知角色" },
  "empty-field": { en: "empty field", zh: "空字段" },
};

/** Why rows were left out. */
export function ruleName(rule: string): Markup {
  const known = Object.hasOwn(rules, rule) ? rules[rule] : undefined;
  return known === undefined ? given(rule) : both(known.en, known.zh);
}
