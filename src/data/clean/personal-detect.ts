/** Finds personal data in a text: the cheap look first, then one detector a kind, each linear in the text. */
import { isIPv4, isIPv6 } from "node:net";
import { type NormaliseOptions, codesToText, tracingNormaliser } from "./normalise.ts";
import { findNumbers } from "./personal-numbers.ts";
import type { Span } from "./rule.ts";

export const PERSONAL_KINDS = ["email", "phone", "id", "card", "ip", "url", "plate"] as const;
export type PersonalKind = (typeof PERSONAL_KINDS)[number];

export interface PersonalFind extends Span {
  readonly kind: PersonalKind;
  /** The same for every way of writing the same thing. */
  readonly value: string;
}

export type PersonalDetector = (text: string) => readonly PersonalFind[];

const NONE: readonly PersonalFind[] = [];
/** A text without any of these holds no personal data of the kinds above. */
const WORTH_A_LOOK = /[0-9@\uFF10-\uFF19\uFF20]|:\/\/| dot /i;
/** Full-width forms and invisible characters, which detection reads as plain ones. */
const NEEDS_FOLDING = /[\uFF01-\uFF5E\u2010-\u2015\u00A0\u3000\u200B-\u200F\u2060\uFEFF\u00AD]/;
const FOLDING: NormaliseOptions = {
  width: true,
  simplified: false,
  zeroWidth: true,
  lowerCase: false,
  spaces: false,
};

/** Finds are sorted and do not overlap; offsets are those of the text as given. */
export function personalDetector(kinds: readonly PersonalKind[] = PERSONAL_KINDS): PersonalDetector {
  const fold = tracingNormaliser(FOLDING);
  const wanted = new Set(kinds);
  return (text) => {
    if (!WORTH_A_LOOK.test(text)) return NONE;
    if (!NEEDS_FOLDING.test(text)) return detect(text, wanted);
    const folded = fold(text);
    const finds = detect(codesToText(folded.codes, folded.length).replace(/[\u2010-\u2015]/g, "-"), wanted);
    return finds.map((find) => ({
      ...find,
      start: folded.originalStart(find.start),
      end: folded.originalEnd(find.end - 1),
    }));
  };
}

/** All kinds are looked for, so that a card is not taken for a phone when cards are not wanted. */
function detect(text: string, wanted: ReadonlySet<PersonalKind>): readonly PersonalFind[] {
  let finds: readonly PersonalFind[] = NONE;
  if (text.includes("://")) finds = findUrls(text);
  if (text.includes("@")) finds = merged(finds, findEmails(text));
  if (text.includes(" dot ")) finds = merged(finds, findSpelledEmails(text));
  finds = merged(finds, findPlates(text));
  finds = merged(finds, findAddresses(text));
  finds = merged(finds, findNumbers(text));
  return finds.length === 0 || wanted.size === PERSONAL_KINDS.length
    ? finds
    : finds.filter((find) => wanted.has(find.kind));
}

/** Two sorted lists as one; what overlaps a find of the first list is dropped from the second. */
function merged(first: readonly PersonalFind[], second: readonly PersonalFind[]): readonly PersonalFind[] {
  if (first.length === 0) return second;
  if (second.length === 0) return first;
  const all: PersonalFind[] = [];
  let next = 0;
  for (const find of second) {
    while (next < first.length && first[next]!.end <= find.start) all.push(first[next++]!);
    if (next < first.length && first[next]!.start < find.end) continue;
    all.push(find);
  }
  while (next < first.length) all.push(first[next++]!);
  return all;
}

const URL_PATTERN = /(?:https?|ftp|wss?):\/\/[^\s<>"'`，。！？；、（）【】《》「」\u4e00-\u9fff]{3,4000}/gi;
const SECRET_PARAMETER =
  /[?&#;](?:[a-z0-9_.-]{0,40}(?:token|secret|passw(?:or)?d|api_?key|apikey|signature|credential|session(?:_?id)?|jwt|otp)|pwd|key|sig|sign|auth|authorization|sid|ticket|phpsessid|jsessionid)=[^&#\s]{4,}/i;
const SECRET_PATH =
  /\/(?:reset|verify|confirm|invite|magic|token|activate|unsubscribe|login)[^\s?#]{0,60}\/(?=[A-Za-z_-]{0,200}\d)[A-Za-z0-9_-]{20,}/i;
const USER_INFO = /^[a-z]+:\/\/[^\s/@:?#]{1,200}:[^\s/@?#]{1,200}@/i;

/** A URL is personal when it opens something: a token, a signature, a password. Plain pages are not. */
function findUrls(text: string): readonly PersonalFind[] {
  const finds: PersonalFind[] = [];
  for (const match of text.matchAll(URL_PATTERN)) {
    const url = match[0].replace(/[.,;:!?)\]}'"]+$/, "");
    if (!SECRET_PARAMETER.test(url) && !SECRET_PATH.test(url) && !USER_INFO.test(url)) continue;
    finds.push({ kind: "url", start: match.index, end: match.index + url.length, value: url });
  }
  return finds;
}

const LOCAL = /[A-Za-z0-9._%+'&~-]/;
const DOMAIN =
  /(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}(?:xn--[A-Za-z0-9-]{2,58}|[A-Za-z]{2,24})(?![A-Za-z0-9_-])/y;
const MAX_LOCAL = 64;

function findEmails(text: string): readonly PersonalFind[] {
  const finds: PersonalFind[] = [];
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    let start = at;
    while (start > 0 && at - start < MAX_LOCAL && LOCAL.test(text.charAt(start - 1))) start -= 1;
    while (start < at && /['.&~-]/.test(text.charAt(start))) start += 1;
    if (start === at) continue;
    DOMAIN.lastIndex = at + 1;
    const domain = DOMAIN.exec(text);
    if (domain === null) continue;
    const end = at + 1 + domain[0].length;
    if (start < (finds.at(-1)?.end ?? 0)) continue;
    finds.push({ kind: "email", start, end, value: text.slice(start, end).toLowerCase() });
  }
  return finds;
}

const SPELLED =
  /\b([a-z0-9]{1,30}(?: dot [a-z0-9]{1,30}){0,3}) at ([a-z0-9-]{1,40}(?: dot [a-z0-9-]{1,40}){0,3}) dot (com|org|net|edu|gov|io|co|cn|de|uk|info)\b/gi;

/** "john dot smith at example dot com". "Look at example dot com" is not one: its first part is one plain word. */
function findSpelledEmails(text: string): readonly PersonalFind[] {
  const finds: PersonalFind[] = [];
  for (const match of text.matchAll(SPELLED)) {
    const local = match[1]!;
    const cue = /\bmail\b/i.test(text.slice(Math.max(0, match.index - 24), match.index));
    if (!/ dot |\d/.test(local) && !cue) continue;
    const value = `${local}@${match[2]!}.${match[3]!}`.replaceAll(/ dot /gi, ".").toLowerCase();
    finds.push({ kind: "email", start: match.index, end: match.index + match[0].length, value });
  }
  return finds;
}

const PLATE =
  /[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使][A-HJ-NP-Za-hj-np-z][·•・\-.]?[ ]?((?:[DFdf][A-HJ-NP-Za-hj-np-z0-9]\d{4}|\d{5}[DFdf])|[A-HJ-NP-Za-hj-np-z0-9]{4}[A-HJ-NP-Za-hj-np-z0-9挂学警港澳试超])(?![A-Za-z0-9])/g;

/** Source: GA 36-2018; the letters I and O are not used. */
function findPlates(text: string): readonly PersonalFind[] {
  const finds: PersonalFind[] = [];
  for (const match of text.matchAll(PLATE)) {
    if ((match[1]!.match(/\d/g)?.length ?? 0) < 2) continue;
    const end = match.index + match[0].length;
    const value = match[0].replace(/[·•・\-. ]/g, "").toUpperCase();
    finds.push({ kind: "plate", start: match.index, end, value });
  }
  return finds;
}

const FOUR_NUMBERS = /(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)/g;
const VERSION_BEFORE =
  /(?:version|\bver|\bv|firmware|build|release|section|chapter|clause|paragraph|app|java|版本|版|第|系统|固件)[^.。,，\d]{0,8}$/i;
const VERSION_AFTER = /^ ?(?:of (?:the|our|your)|条|章|节|版)/i;
const HEX_GROUPS = /(?<![\w:.])[0-9A-Fa-f:]{3,39}(?![\w:])/g;

function findAddresses(text: string): readonly PersonalFind[] {
  const four: PersonalFind[] = [];
  for (const match of text.matchAll(FOUR_NUMBERS)) {
    const end = match.index + match[0].length;
    if (!isIPv4(match[0]) || /^(?:0|127)\./.test(match[0])) continue;
    if (VERSION_BEFORE.test(text.slice(Math.max(0, match.index - 24), match.index))) continue;
    if (VERSION_AFTER.test(text.slice(end, end + 12))) continue;
    four.push({ kind: "ip", start: match.index, end, value: match[0] });
  }
  if (!text.includes("::") && text.split(":", 9).length < 8) return four;
  const hex: PersonalFind[] = [];
  for (const match of text.matchAll(HEX_GROUPS)) {
    // Two colons and a digit at least: "a::b" is as likely to be code.
    if (!isIPv6(match[0]) || !/\d/.test(match[0]) || match[0].length < 6) continue;
    hex.push({
      kind: "ip",
      start: match.index,
      end: match.index + match[0].length,
      value: match[0].toLowerCase(),
    });
  }
  return merged(four, hex);
}
