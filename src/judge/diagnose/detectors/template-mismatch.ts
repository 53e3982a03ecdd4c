/** The model reads conversations differently now than in training: another template, separator or stop token. */
import { excerpt } from "../../../util/index.ts";
import { shareBars } from "../pictures.ts";
import type { Detector } from "../types.ts";

export const templateMismatch: Detector = {
  id: "template-mismatch",
  about: { en: "chat template differs between training and serving", zh: "训练与部署的对话模板不一致" },
  detect: ({ text }) => {
    if (text === undefined) return undefined;
    const changed = text.trained !== "" && text.trained !== text.now;
    if (!changed && text.differing.length === 0) return undefined;
    const share = text.differing.length / Math.max(1, text.compared);
    return {
      title: {
        en: changed
          ? "Template, special tokens or stop tokens are not those of training"
          : `${text.differing.length} of ${text.compared} prompts differ from what was trained`,
        zh: changed
          ? "模板、特殊符号或停止符与训练时不同"
          : `${text.compared} 个提示中有 ${text.differing.length} 个与训练时不同`,
      },
      evidence: [
        { name: "prompts that differ from training", value: share, unit: "share", expected: "none" },
        { name: "fingerprint changed", value: changed ? 1 : 0, unit: "count", expected: "0" },
        {
          name: "the model brought no template of its own",
          value: text.defaultTemplate ? 1 : 0,
          unit: "count",
        },
      ],
      picture: shareBars(
        [
          { name: "differ", share },
          { name: "equal", share: 1 - share },
        ],
        "prompts compared with training",
      ),
      examples: [
        ...(text.sample === undefined
          ? []
          : [{ trained: text.sample.trained, prompt: text.sample.now, context: "a short conversation" }]),
        ...text.differing.map((one) => ({ ...one, context: "the end of a prompt" })),
      ]
        .slice(0, 3)
        .map(({ context, trained, prompt }) => ({
          context,
          reference: excerpt(trained, 240),
          prediction: excerpt(prompt, 240),
          note: "as trained, and as it is written now",
        })),
      confidence: 0.99,
      severity: "high",
      remedy: {
        text: {
          en: "Restore the tokenizer files of the base model as they were, or train again with these. Serve with the template that travels with the adapter.",
          zh: "恢复基础模型原来的分词器文件，或用现在的文件重新训练；部署时使用随适配器保存的模板。",
        },
        set: [],
        commands: ["attune train RUN/config.yaml --out runs/again"],
      },
    };
  },
};
