/** Texts in two languages side by side, names of things, and numbers as the report writes them. */
import { type Markup, markup } from "../../util/html/index.ts";
import type { ReportedInterval, ReportedSystem } from "./evaluation-file.ts";
import type { Text } from "./types.ts";

type Shown = string | number | Markup;

/** Both texts; the page shows one. Text is escaped, markup stands as it is. */
export function both(en: Shown, zh: Shown): Markup {
  return markup`<span lang="en">${en}</span><span lang="zh">${zh}</span>`;
}

export const bothOf = ({ en, zh }: Text): Markup => both(en, zh);

/** The same drawing with the words of each language. */
export function eachLanguage(draw: (pick: (text: Text) => string) => Markup): Markup {
  return markup`<div lang="en">${draw(({ en }) => en)}</div><div lang="zh">${draw(({ zh }) => zh)}</div>`;
}

/** Text that comes from a file: in its own direction, translated by nobody. */
export const given = (text: string): Markup => markup`<bdi translate="no">${text}</bdi>`;

export const code = (text: string): Markup => markup`<code translate="no">${text}</code>`;

const kinds: Readonly<Record<ReportedSystem["kind"], Text>> = {
  base: { en: "base model", zh: "基础模型" },
  tuned: { en: "fine-tuned", zh: "微调后" },
  run: { en: "run", zh: "训练" },
  retrieval: { en: "nearest training reply", zh: "检索最近回复" },
  frequent: { en: "most frequent reply", zh: "最常见回复" },
};

const usualNames = {
  base: "base",
  tuned: "adapter",
  run: "",
  retrieval: "retrieval",
  frequent: "frequent",
} as const;

/** What the reader calls a system: its kind, with its own name where that says more. */
export function systemText({ kind, name }: Pick<ReportedSystem, "kind" | "name">): Text {
  if (kind === "run") return { en: name, zh: name };
  const { en, zh } = kinds[kind];
  return name === usualNames[kind] ? { en, zh } : { en: `${en} (${name})`, zh: `${zh}（${name}）` };
}

export function systemName(system: Pick<ReportedSystem, "kind" | "name">): Markup {
  return system.kind === "run" ? given(system.name) : bothOf(systemText(system));
}

const slices: Readonly<Record<string, Text>> = {
  "depth 1–2": { en: "turns 1–2", zh: "第 1–2 轮" },
  "depth 3–5": { en: "turns 3–5", zh: "第 3–5 轮" },
  "depth 6+": { en: "turn 6 and later", zh: "第 6 轮及以后" },
  "length 1–10": { en: "1–10 words", zh: "1–10 词" },
  "length 11–20": { en: "11–20 words", zh: "11–20 词" },
  "length 21–40": { en: "21–40 words", zh: "21–40 词" },
  "length 41+": { en: "41 words and more", zh: "41 词及以上" },
  "seen seen": { en: "reply stands in training", zh: "训练中出现过" },
  "seen unseen": { en: "reply is new", zh: "训练中未出现" },
  "script cjk": { en: "Chinese, Japanese, Korean", zh: "中日韩文字" },
  "script other": { en: "other scripts", zh: "其他文字" },
};

export function sliceName(by: string, name: string): Markup {
  const known = slices[`${by} ${name}`];
  return known === undefined ? given(name) : bothOf(known);
}

/** "–" where nothing was measured; a true minus sign. */
export function figure(value: number | undefined, digits = 2): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const text = Math.abs(value) >= 10_000 ? value.toExponential(2) : value.toFixed(digits);
  return text.replace("-", "−");
}

export function signed(value: number | undefined, digits = 2): string {
  const text = figure(value, digits);
  return value !== undefined && value > 0 && text !== "–" ? `+${text}` : text;
}

/** As many digits as the size of the number carries: 9,120, 363, 12.4, 3.21. */
export function rate(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return figure(value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

export function range({ low, high }: Pick<ReportedInterval, "low" | "high">, digits = 2): string {
  return Number.isFinite(low) && Number.isFinite(high)
    ? `${figure(low, digits)} – ${figure(high, digits)}`
    : "–";
}

/** 0.225 → "22.5 %". */
export function share(value: number | undefined, digits = 1): string {
  return value === undefined || !Number.isFinite(value) ? "–" : `${figure(100 * value, digits)} %`;
}

/** A probability as papers give it. */
export function pValue(value: number): string {
  if (!Number.isFinite(value)) return "p –";
  return value < 0.001 ? "p < 0.001" : `p = ${value.toFixed(3)}`;
}
