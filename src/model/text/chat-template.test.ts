/** What a template may do, and what becomes of one that does something else. */
import { describe, expect, it } from "vitest";
import { chatMlWithSystem, smallTokenizer } from "../../../test/fixtures/text.ts";
import { chatTemplate, strftime } from "./chat-template.ts";
import type { Message } from "./conversation.ts";
import { type ConversationRenderer, conversationRenderer } from "./render.ts";

const tokenizer = smallTokenizer();
const rendererFor = (source: string): ConversationRenderer =>
  conversationRenderer({ tokenizer, template: chatTemplate(source, tokenizer) });
const user = (content: string): Message => ({ role: "user", content });
const reply = (content: string): Message => ({ role: "assistant", content });

describe("templates", () => {
  it("that refuse a conversation say so in their own words", () => {
    const strict = `{% if messages[0]['role'] != 'user' %}{{ raise_exception('Start with the user!') }}{% endif %}${chatMlWithSystem}`;
    expect(() => rendererFor(strict).prompt([reply("Hi")])).toThrow(
      /refuses a conversation of assistant: Start with the user!/,
    );
  });

  it("that cannot be parsed are refused", () => {
    expect(() => rendererFor("{% if %}")).toThrow(/chat template cannot be read/);
    expect(() => rendererFor("x".repeat(500_001))).toThrow(/500001 characters/);
  });

  it("that loop for the sake of looping are stopped", () => {
    expect(() => rendererFor(`{% for i in range(1000000000) %}x{% endfor %}${chatMlWithSystem}`)).toThrow(
      /range\(\) of 1000000000/,
    );
  });

  it("read the pinned date, whatever the day", () => {
    const dated = `{{ strftime_now('%d %B %Y') }}${chatMlWithSystem}`;
    expect(tokenizer.decode(rendererFor(dated).prompt([user("a")]))).toMatch(/^26 July 2024/);
    expect(
      strftime(new Date(Date.UTC(2025, 0, 5, 15, 4, 9)), "%a %A %-d %d %b %m %y %H %I %M %S %p %% %Q"),
    ).toBe("Sun Sunday 5 05 Jan 01 25 15 03 04 09 PM % %Q");
  });

  it("are needed, or an end-of-sequence token is", () => {
    const bare = { ...tokenizer, eosId: undefined, specialTokens: [] };
    expect(() => chatTemplate(undefined, bare)).toThrow(/no chat template and no end-of-sequence token/);
  });
});
