/** What of a conversation is never left out. */
import { describe, expect, it } from "vitest";
import type { Message, Role } from "./conversation.ts";
import { pinnedMessages } from "./pinned.ts";

const said = (roles: string): Message[] =>
  [...roles].map((letter): Message => {
    const roleOf: Readonly<Record<string, Role>> = { s: "system", u: "user", a: "assistant" };
    return { role: roleOf[letter]!, content: "x" };
  });

describe("pinned messages", () => {
  it.each([
    ["suauaua", 0, 1],
    ["suauaua", 1, 3],
    ["suauaua", 2, 5],
    ["suauaua", 3, 7],
    ["suauaua", 9, 7],
    // Several messages of one customer are one turn; a greeting belongs to the first.
    ["auuauua", 1, 4],
    ["uaua", 0, 0],
    ["s", 1, 1],
    ["", 1, 0],
  ])("of %s with %i first turns are %i", (roles, turns, count) => {
    expect(pinnedMessages(said(roles), turns)).toBe(count);
  });
});
