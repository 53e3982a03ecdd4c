/** HTML from text that may be anything: every value is shown, never run. */

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

// Control characters and direction overrides could hide or reorder what stands around them. Tabs, line ends and the
// joiner inside emoji are harmless.
const UNSEEN = /(?![\t\n\r\u200D])[\p{Cc}\p{Cf}\p{Cs}]/gu;

/** Text for an element's content or a quoted attribute. */
export function escapeHtml(text: string): string {
  return text
    .replace(UNSEEN, (sign) => `⟨U+${sign.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}⟩`)
    .replace(/[&<>"']/g, (sign) => ESCAPES[sign]!);
}

/** Markup built from escaped text. An object, so that no text of the data can be taken for it. */
export interface Markup {
  readonly markup: string;
}

type Value = string | number | undefined | Markup | readonly Markup[];

/**
 * Tagged template, not called html so that no formatter adds spaces inside.
 * texts and numbers are escaped; markup and lists of markup stand as they are. */
export function markup(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  let made = parts[0]!;
  for (const [i, value] of values.entries()) {
    made += shown(value) + parts[i + 1]!;
  }
  return { markup: made };
}

export const NOTHING: Markup = { markup: "" };

function shown(value: Value): string {
  if (value === undefined) return "";
  if (typeof value === "string" || typeof value === "number") return escapeHtml(String(value));
  if ("markup" in value) return value.markup;
  return value.map((part) => part.markup).join("");
}
