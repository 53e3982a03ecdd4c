/** Lengths of replies, conversations and token sequences after cleaning. */
import type { Message } from "../../model/text/index.ts";
import type { Manifest } from "../dataset/index.ts";
import type { DialogueRecord } from "../record.ts";
import { HistogramCounter, TOKEN_EDGES, TURN_EDGES, WORD_EDGES } from "./histogram.ts";
import { type StagedRecord, exchanges } from "./source-stage.ts";

export interface TokenCounter {
  /** Name of the tokenizer for the report, such as the model's. */
  readonly model: string;
  /** Longest sequence the model takes, in tokens. */
  readonly limit?: number;
  /** Tokens of one conversation, chat template included. */
  count(messages: readonly Message[]): number;
}

export class Lengths {
  readonly #words = new HistogramCounter(WORD_EDGES);
  readonly #turns = new HistogramCounter(TURN_EDGES);
  readonly #tokens = new HistogramCounter(TOKEN_EDGES);
  readonly #counter: TokenCounter | undefined;
  #overLimit = 0;
  #longest = 0;

  constructor(counter: TokenCounter | undefined) {
    this.#counter = counter;
  }

  /** `record` is what the last rules made of `staged`: the same texts, maybe with fewer replies to learn. */
  add(record: DialogueRecord, staged: StagedRecord): void {
    let reply = 0;
    for (const [i, { role, supervised }] of staged.record.messages.entries()) {
      if (role !== "assistant" || supervised === false) continue;
      const words = staged.words[reply++]!;
      if (record.messages[i]?.supervised !== false) this.#words.add(words);
    }
    this.#turns.add(exchanges(record));
    if (this.#counter === undefined) return;
    const tokens = this.#counter.count(record.messages);
    this.#tokens.add(tokens);
    this.#longest = Math.max(this.#longest, tokens);
    if (this.#counter.limit !== undefined && tokens > this.#counter.limit) this.#overLimit += 1;
  }

  value(): Pick<Manifest["lengths"], "replyWordsAfter" | "turnsAfter" | "tokens"> {
    const counter = this.#counter;
    return {
      replyWordsAfter: this.#words.value(),
      turnsAfter: this.#turns.value(),
      ...(counter === undefined
        ? {}
        : {
            tokens: {
              model: counter.model,
              ...(counter.limit === undefined ? {} : { limit: counter.limit }),
              overLimit: this.#overLimit,
              longest: this.#longest,
              histogram: this.#tokens.value(),
            },
          }),
    };
  }
}
