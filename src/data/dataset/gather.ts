/** Rows that follow each other gathered into conversations, each as what the leak check compares. */
import type { Example } from "../../model/text/index.ts";
import { ConversationShingles, conversationKey } from "../shape/index.ts";

export interface GatheredConversation {
  readonly id: string;
  /** Key of the words and roles of its longest row; equal for the same conversation. */
  readonly key: number;
  /** Distinct pairs of words of all its messages, hashed, ascending. */
  readonly set: Uint32Array;
}

/**
 * Collects rows one by one; `add` and `end` return a conversation once it is complete. Rows of one conversation must
 * follow each other, as `attune data prepare` writes them; where they do not, each run is looked at by itself.
 */
export class ConversationGatherer {
  readonly #shingles = new ConversationShingles();
  #id: string | undefined;
  #longest: Example["messages"] = [];

  add(example: Pick<Example, "dialogueId" | "messages">): GatheredConversation | undefined {
    const done = example.dialogueId === this.#id ? undefined : this.end();
    this.#id = example.dialogueId;
    if (example.messages.length > this.#longest.length) this.#longest = example.messages;
    // A system prompt is the same for every conversation of a shop: it says nothing about likeness.
    for (const { role, content } of example.messages) if (role !== "system") this.#shingles.add(content);
    return done;
  }

  end(): GatheredConversation | undefined {
    if (this.#id === undefined) return undefined;
    const messages = this.#longest.filter(({ role }) => role !== "system");
    const done = { id: this.#id, key: conversationKey(messages), set: this.#shingles.set() };
    this.#id = undefined;
    this.#longest = [];
    this.#shingles.reset();
    return done;
  }
}
