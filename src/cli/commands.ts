/** Every command: what it does in one line, and where it stands. Its module is loaded only when it is called. */
import type { Command } from "commander";

export interface CommandEntry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** In the order in which a newcomer meets them. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  quickstart: {
    summary: "fine-tune the embedded model on embedded dialogues and compare replies, in about three minutes",
    load: async () => (await import("./commands/quickstart.ts")).quickstartCommand(),
  },
  doctor: {
    summary: "say what this machine has, what is missing, and what to do about it",
    load: async () => (await import("./commands/doctor.ts")).doctorCommand(),
  },
  pull: {
    summary: "fetch a model from the hub into the cache, or check one that is here",
    load: async () => (await import("./commands/pull.ts")).pullCommand(),
  },
  data: {
    summary: "prepare, check and look at data sets",
    load: async () => (await import("./commands/data.ts")).dataCommand(),
  },
  train: {
    summary: "fine-tune a model on dialogues: LoRA, early stopping, the best adapter kept",
    load: async () => (await import("./commands/train.ts")).trainCommand(),
  },
  pretrain: {
    summary: "train a new model from scratch on text: its tokenizer, its first weights, every parameter",
    load: async () => (await import("./commands/pretrain.ts")).pretrainCommand(),
  },
  chat: {
    summary: "talk to a run's model, or to any model",
    load: async () => (await import("./commands/chat.ts")).chatCommand(),
  },
  generate: {
    summary: "answer a file of conversations: batched, streamed to disk, resumable",
    load: async () => (await import("./commands/generate.ts")).generateCommand(),
  },
  evaluate: {
    summary: "answer a test set with several systems and compare them: quality, perplexity, speed",
    load: async () => (await import("./commands/evaluate.ts")).evaluateCommand(),
  },
  diagnose: {
    summary: "say what is wrong with a run, how sure that is, and which setting to change",
    load: async () => (await import("./commands/diagnose.ts")).diagnoseCommand(),
  },
  metrics: {
    summary: "score replies against references: BLEU, ROUGE, chrF, repetition; no model needed",
    load: async () => (await import("./commands/metrics.ts")).metricsCommand(),
  },
  rate: {
    summary: "let people rate replies on a local web page, blind to which system wrote them",
    load: async () => (await import("./commands/rate.ts")).rateCommand(),
  },
  report: {
    summary: "write everything known of a run on one page, report.html, and its model card",
    load: async () => (await import("./commands/report.ts")).reportCommand(),
  },
};
