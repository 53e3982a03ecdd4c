/** Text that was decoded with the wrong encoding: told by its bytes, undone where they are UTF-8. */
import type { Span } from "./rule.ts";

/** Characters that Windows-1252 puts at bytes 0x80–0x9F; a space where it has none. Source: the Encoding standard (WHATWG). */
const UPPER_ROWS = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ";
const WINDOWS_1252: ReadonlyMap<number, number> = new Map(
  [...UPPER_ROWS].flatMap((character, i) =>
    character === " " ? [] : [[character.charCodeAt(0), 0x80 + i] as const],
  ),
);
const HIGH = `\u0080-\u00FF${[...WINDOWS_1252.keys()].map((code) => String.fromCharCode(code)).join("")}`;
/** Two or more characters that were bytes above 0x7F. */
const RUN = new RegExp(`[${HIGH}]{2,}`, "g");
/** The end of a quoted French word ("… café”…") may have bytes that are valid by chance. */
const ACCENT_AND_PUNCTUATION = /^[À-ÿ][‘’“”…–—«»]+$/;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * "cafÃ©" → "café", "ä½ å¥½" → "你好". A run is changed only where its bytes are valid UTF-8 as a whole,
 * which real words in Latin script never are: they have no two accented signs of the right kind in a row.
 */
export function repairMojibake(text: string): string {
  return text.replace(RUN, (run) => {
    if (ACCENT_AND_PUNCTUATION.test(run)) return run;
    const bytes = new Uint8Array(run.length);
    for (let i = 0; i < run.length; i++) {
      const code = run.charCodeAt(i);
      bytes[i] = WINDOWS_1252.get(code) ?? code;
    }
    try {
      return utf8.decode(bytes);
    } catch {
      return run;
    }
  });
}

interface Breakage {
  readonly reason: "replacement-character" | "lone-surrogate" | "mojibake";
  readonly pattern: RegExp;
}

const BREAKAGES: readonly Breakage[] = [
  { reason: "replacement-character", pattern: /\uFFFD/ },
  { reason: "lone-surrogate", pattern: /[\uD800-\uDFFF]/u },
  // What UTF-8 becomes under Latin-1 and Windows-1252; GB18030 under Latin-1 (no word has four such letters in
  // a row); U+FFFD under GB18030; fresh memory of a debugger.
  { reason: "mojibake", pattern: /Ã[\u0080-\u00BF]|â€|ï¿½|[À-ÿ][\u00A1-\u00FF]{2}[À-ÿ]|锟斤拷|烫烫烫/ },
];

export function brokenAt(
  text: string,
): { readonly reason: Breakage["reason"]; readonly span: Span } | undefined {
  for (const { reason, pattern } of BREAKAGES) {
    const match = pattern.exec(text);
    if (match !== null) return { reason, span: { start: match.index, end: match.index + match[0].length } };
  }
  return undefined;
}
