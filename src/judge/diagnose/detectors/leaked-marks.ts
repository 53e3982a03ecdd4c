/** Placeholders and marks of the chat format that stand in replies as text. */
import { confidenceOf, examplesOf, fewest, generated, trainingTimes } from "../helpers.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

const placeholder =
  /\{\{[^{}\n]{1,60}\}\}|\[(?:[A-Z][A-Z_]{2,30}|姓名|电话|手机号|地址|订单号|邮箱)\]|<(?:[A-Z][A-Z_]{2,30})>|#(?:CX|CP|NAME|ORDER)\b|\$\{[a-z_]{1,40}\}/u;
const roleMark =
  /<\|[a-z_]{2,24}\|>|<\/?s>|\[\/?INST\]|<<\/?SYS>>|<(?:start|end)_of_turn>|^(?:user|assistant|system|human|用户|客服)\s*[:：\n]|\n(?:user|assistant|human|用户|客服)\s*[:：\n]/iu;

export const leakedMarks: Detector = {
  id: "leaked-marks",
  about: { en: "placeholders or role marks in replies", zh: "回复中出现占位符或角色标记" },
  detect: ({ tuned, trainingTexts, specialTokens, settings }) => {
    const replies = generated(tuned);
    if (replies.length < fewest) return undefined;
    const marks = (text: string): string | undefined =>
      placeholder.exec(text)?.[0] ??
      roleMark.exec(text)?.[0].trim() ??
      specialTokens.find((token) => token.length > 2 && text.includes(token));
    const leaking = replies.filter(({ prediction }) => marks(prediction) !== undefined);
    const share = leaking.length / replies.length;
    const expected =
      replies.filter(({ reference }) => marks(reference) !== undefined).length / replies.length;
    if (leaking.length < 2 || share <= expected + 0.01) {
      // Placeholders that the data teach are a fault of the data, also where the references hold them.
      if (leaking.length < 2 || share <= 0.02) return undefined;
    }
    const taught =
      trainingTexts.filter((text) => placeholder.test(text)).length / Math.max(1, trainingTexts.length);
    const fromData = taught > 0.005;
    return {
      title: {
        en: `${(100 * share).toFixed(1)} % of the replies show a placeholder or a mark of the chat format`,
        zh: `${(100 * share).toFixed(1)} % 的回复出现占位符或对话格式标记`,
      },
      evidence: [
        { name: "replies with a mark", value: share, unit: "share", expected: "none" },
        { name: "references with a mark", value: expected, unit: "share" },
        { name: "training replies with a placeholder", value: taught, unit: "share", expected: "none" },
      ],
      picture: shareBars(
        [
          { name: "replies", share, count: replies.length },
          { name: "references", share: expected, count: replies.length },
          { name: "training replies", share: taught, count: trainingTexts.length },
        ],
        "texts with a mark",
      ),
      examples: examplesOf(leaking, ({ prediction }) => marks(prediction) ?? ""),
      confidence: Math.max(0.6, confidenceOf(share, Math.min(expected, 0.005), replies.length)),
      severity: "high",
      remedy: {
        text: fromData
          ? {
              en: "The training replies hold these placeholders: fill or remove them in the data, then train again.",
              zh: "训练回复中含有这些占位符：请在数据中填充或去除，然后重新训练。",
            }
          : {
              en: "The chat format was hardly learned: train longer, from a base whose chat template is its own.",
              zh: "几乎没有学会对话格式：请延长训练，并使用自带对话模板的基础模型。",
            },
        set: fromData ? [] : [trainingTimes(settings, 2), "lora.targets=all-linear"],
        ...(fromData ? { commands: ["attune data prepare DATA --out data/filled"] } : {}),
      },
    };
  },
};
