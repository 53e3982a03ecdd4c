/** Lengths of replies, conversations and token sequences, before and after cleaning. */
import type { Message } from "../../model/text/index.ts";
import type { Manifest } from "../dataset/index.ts";
import type { DialogueRecord } from "../record.ts";
import { HistogramCounter, TOKEN_EDGES, TURN_EDGES, WORD_EDGES } from "./histogram.ts";

export interface TokenCounter {
  /** Name of the tokenizer for the report, such as the model's. */
  readonly model: string;
  /** Longest sequence the model takes, in tokens. */
  readonly limit?: number;
  /** Tokens of one conversation, chat template included. */
  count(messages: readonly Message[]): number;
}

export class Lengths {
  readonly #wordsBefore = new HistogramCounter(WORD_EDGES);
  readonly #wordsAfter = new HistogramCounter(WORD_EDGES);
  readonly #turnsBefore = new HistogramCounter(TURN_EDGES);
  readonly #turnsAfter = new HistogramCounter(TURN_EDGES);
  readonly #tokens = new HistogramCounter(TOKEN_EDGES);
  readonly #counter: TokenCounter | undefined;
  readonly #countWords: (text: string) => number;
  /** Of the record at hand: cleaning leaves most replies as they were. */
  readonly #known = new Map<string, number>();
  #overLimit = 0;
  #longest = 0;

  constructor(countWords: (text: string) => number, counter: TokenCounter | undefined) {
    this.#countWords = countWords;
    this.#counter = counter;
  }

  before(record: DialogueRecord): void {
    this.#known.clear();
    this.#look(record, this.#wordsBefore, this.#turnsBefore);
  }

  /** Call right after `before` for a record that was kept. */
  after(record: DialogueRecord): void {
    this.#look(record, this.#wordsAfter, this.#turnsAfter);
    if (this.#counter === undefined) return;
    const tokens = this.#counter.count(record.messages);
    this.#tokens.add(tokens);
    this.#longest = Math.max(this.#longest, tokens);
    if (this.#counter.limit !== undefined && tokens > this.#counter.limit) this.#overLimit += 1;
  }

  value(): Manifest["lengths"] {
    const counter = this.#counter;
    return {
      replyWordsBefore: this.#wordsBefore.value(),
      replyWordsAfter: this.#wordsAfter.value(),
      turnsBefore: this.#turnsBefore.value(),
      turnsAfter: this.#turnsAfter.value(),
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

  #look(record: DialogueRecord, words: HistogramCounter, turns: HistogramCounter): void {
    let exchanges = 0;
    for (const { role, content, supervised } of record.messages) {
      if (role === "user") exchanges += 1;
      if (role !== "assistant" || supervised === false) continue;
      let count = this.#known.get(content);
      if (count === undefined) this.#known.set(content, (count = this.#countWords(content)));
      words.add(count);
    }
    turns.add(exchanges);
  }
}
