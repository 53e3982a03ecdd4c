/** Numbers that point at a person: phones, identity numbers, bank cards; told apart from orders, prices and dates. */
import type { PersonalFind } from "./personal-detect.ts";

/**
 * Words that say "what follows is not a phone or a card". They stand close before the number, in the same
 * clause.
 */
const REFERENCE_EN =
  /(?:\b(?:order|invoice|bill|tracking|track|reference|ref|ticket|case|serial|transaction|txn|model|part|confirmation|booking|reservation|po|p\.o\.|sku|isbn|imei|ean|upc|barcode|parcel|shipment|account (?:number|no)|member(?:ship)?|version|item|product|claim|policy|device|request)\b[^.,;!?\n]{0,14}(?:no\. ?)?|#\s?)$/i;
const REFERENCE_ZH =
  /(?:订单|訂單|单号|單號|编号|編號|流水|快递|快遞|运单|運單|发票|發票|税号|识别号|条码|条形码|商品编码|设备号|序列号|会员号|批次|参考号|工单|合同|房间号|型号|单子|交易号|IMEI|积分|QQ|qq)[^，。！？；,!?;\n]{0,8}$/;
const PHONE_EN =
  /\b(?:phone|phones|mobile|cell|cellphone|telephone|tel|call|called|calling|dial|ring|whatsapp|text|texted|fax|hotline|reach|contact|number is|number's|no\. is)\b/i;
const PHONE_ZH =
  /电话|電話|手机|手機|座机|座機|号码|號碼|联系|聯絡|聯繫|拨打|撥打|致电|热线|熱線|打给|分机|传真/;
const CARD = /\b(?:card|visa|mastercard|amex|credit|debit|bank|paid|pay|maestro)\b|卡|银行|銀行/i;
const IDENTITY = /身份证|身份證|证件|\bid (?:card|number|no)\b/i;

interface NumberShape {
  readonly kind: PersonalFind["kind"];
  /** Decides what of the digits is the number itself. */
  readonly region?: "cn-mobile" | "nanp";
  /** Sticky; tried where a number may begin. Every repetition is bounded. */
  readonly pattern: RegExp;
  /** Judges a match: `before` is up to 40 characters of text to the left. */
  readonly holds: (digits: string, matched: string, before: string) => boolean;
}

const isReference = (before: string): boolean => REFERENCE_EN.test(before) || REFERENCE_ZH.test(before);
const saysPhone = (before: string): boolean => PHONE_EN.test(before) || PHONE_ZH.test(before);

/** Tried in this order; the first that holds wins. */
const SHAPES: readonly NumberShape[] = [
  {
    kind: "id",
    pattern: /\d{6}(?:[ -]?\d{8}[ -]?)\d{3}[\dXx]/y,
    holds: (_, matched) => isIdentityNumber(matched.replace(/[ -]/g, "")),
  },
  {
    kind: "id",
    pattern: /\d{15}/y,
    holds: (digits, _, before) => IDENTITY.test(before) && isDate(`19${digits.slice(6, 12)}`),
  },
  {
    kind: "card",
    pattern: /\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{5}|\d{12,19}/y,
    holds: (digits, matched, before) => {
      if (!isCardNumber(digits) || isReference(before)) return false;
      const usual = digits.length >= 16 || (digits.length === 15 && /^3[47]/.test(digits));
      return CARD.test(before) || (usual && (matched.length > digits.length || !saysPhone(before)));
    },
  },
  {
    // +86 138 1234 5678 and 138-1234-5678
    kind: "phone",
    region: "cn-mobile",
    pattern: /(?:(?:\(?\+86\)?|0086|86(?=[ -]))[ -]?)?1[3-9]\d(?:[ -]\d{4}[ -]\d{4}|\d{8})/y,
    holds: (_, matched, before) => matched.startsWith("+") || !isReference(before),
  },
  {
    // 010-62561234, (0571)87654321, 021 54321098-801, 01068028180
    kind: "phone",
    pattern:
      /(?:\(0(?:10|2\d|[3-9]\d{2})\) ?|0(?:10|2\d|[3-9]\d{2})[ -]?)[2-9]\d{6,7}(?:(?:-|转|轉|ext\.? ?)\d{1,5})?/y,
    holds: (digits, _, before) => digits.length >= 10 && !isReference(before),
  },
  {
    // 400-810-6666, 4008-123-123, 800-820-8820
    kind: "phone",
    pattern: /[48]00(?:-?\d{3}-?\d{4}|\d-\d{3}-\d{3}|[ ]\d{3}[ ]\d{4})/y,
    holds: (_, __, before) => !isReference(before),
  },
  {
    // North America: (415) 555-0132, 415.555.0132, 1-800-555-0100
    kind: "phone",
    region: "nanp",
    pattern: /(?:\+?1[-. ]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}/y,
    holds: (_, __, before) => !isReference(before),
  },
  {
    // E.164 and its spaced forms
    kind: "phone",
    pattern: /\(?\+[1-9]\d{0,2}\)?(?:[ .-]?\(?\d{1,6}\)?){2,6}/y,
    holds: (digits) => digits.length >= 8 && digits.length <= 15,
  },
  {
    kind: "phone",
    region: "nanp",
    pattern: /(?:\+?1[-. ]?)?[2-9]\d{2}[2-9]\d{6}/y,
    holds: (_, __, before) => !isReference(before),
  },
  {
    // National forms elsewhere (07700 900123, 01 99 00 12 34): only where the text speaks of a phone
    kind: "phone",
    pattern: /\(?0\d{1,4}\)?(?:[ -]?\d{2,6}){1,4}/y,
    holds: (digits, _, before) =>
      digits.length >= 9 && digits.length <= 11 && saysPhone(before) && !isReference(before),
  },
  {
    // Local numbers: 555-0142, 87186666
    kind: "phone",
    pattern: /[2-9]\d{2}-\d{4}|[2-9]\d{6,7}/y,
    holds: (_, matched, before) => {
      if (isReference(before)) return false;
      return matched.includes("-") ? PHONE_EN.test(before) : PHONE_ZH.test(before.slice(-12));
    },
  },
];

const WORD = /[0-9A-Za-z_]/;
const OPENING = /[\d+(]/;

/**
 * The numbers of `text`, in order. Linear: at each place where a number may begin, a fixed list of bounded
 * patterns is tried.
 */
export function findNumbers(text: string): readonly PersonalFind[] {
  const finds: PersonalFind[] = [];
  const digit = /\d/g;
  for (let hit = digit.exec(text); hit !== null; hit = digit.exec(text)) {
    let end = hit.index + 1;
    // The sign or bracket before the first digit belongs to the number.
    for (const start of startsBefore(text, hit.index)) {
      const found = numberAt(text, start);
      if (found !== undefined) {
        finds.push(found);
        end = found.end;
        break;
      }
    }
    if (end === hit.index + 1) while (end < text.length && isDigit(text.charCodeAt(end))) end += 1;
    digit.lastIndex = end;
  }
  return finds;
}

function startsBefore(text: string, first: number): readonly number[] {
  const one = text.charAt(first - 1);
  if (one === "+") return text.charAt(first - 2) === "(" ? [first - 2, first - 1] : [first - 1];
  return one === "(" ? [first - 1, first] : [first];
}

function numberAt(text: string, start: number): PersonalFind | undefined {
  if (!OPENING.test(text.charAt(start)) || !freeOnTheLeft(text, start)) return undefined;
  let before: string | undefined;
  for (const shape of SHAPES) {
    shape.pattern.lastIndex = start;
    const match = shape.pattern.exec(text);
    if (match === null) continue;
    const matched = match[0];
    if (!freeOnTheRight(text, start + matched.length)) continue;
    const digits = matched.replace(/\D/g, "");
    before ??= text.slice(Math.max(0, start - 40), start);
    if (!shape.holds(digits, matched, before)) continue;
    return {
      kind: shape.kind,
      start,
      end: start + matched.length,
      value: canonical(shape, matched, digits),
    };
  }
  return undefined;
}

/** One number may be written in many ways; its value is the same. Chinese mobile numbers begin with "86:". */
function canonical(shape: NumberShape, matched: string, digits: string): string {
  if (shape.kind === "id") return matched.replace(/[ -]/g, "").toUpperCase();
  if (shape.region === "cn-mobile") return `86:${digits.slice(-11)}`;
  return shape.region === "nanp" ? digits.slice(-10) : digits;
}

/** Not the tail of a longer number or word: "SN-2019-0042" and "12.415-555-0132" begin elsewhere. */
function freeOnTheLeft(text: string, start: number): boolean {
  const one = text.charAt(start - 1);
  if (WORD.test(one) || one === "$" || one === "¥" || one === "￥" || one === "€" || one === "£")
    return false;
  if (one === "" || !"-./:_=".includes(one)) return true;
  // "Phone:408…" and "tel.010…": the sign closes a word, it does not join numbers.
  const joined = one === ":" || one === "." ? /[0-9]/ : /[0-9A-Za-z]/;
  return !joined.test(text.charAt(start - 2));
}

function freeOnTheRight(text: string, end: number): boolean {
  const one = text.charAt(end);
  if (WORD.test(one)) return false;
  if (one === "" || !"-.:".includes(one)) return true;
  return !(one === "-" ? WORD : /[0-9]/).test(text.charAt(end + 1));
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** Luhn's check over 12–19 digits with an issuer's first digits. Source: ISO/IEC 7812-1. */
export function isCardNumber(digits: string): boolean {
  if (digits.length < 12 || digits.length > 19 || !/^(?:3[0-9]|4|5[0-8]|6|2[2-7]|9[0-9])/.test(digits))
    return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    let digit = digits.charCodeAt(digits.length - 1 - i) - 48;
    if (i % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}

const ID_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

/** Mainland identity number: region, birth date and check character. Source: GB 11643-1999. */
export function isIdentityNumber(text: string): boolean {
  if (!/^[1-8]\d{16}[\dXx]$/.test(text) || !isDate(text.slice(6, 14))) return false;
  const sum = ID_WEIGHTS.reduce((total, weight, index) => total + weight * (text.charCodeAt(index) - 48), 0);
  return "10X98765432".charAt(sum % 11) === text.charAt(17).toUpperCase();
}

function isDate(digits: string): boolean {
  const year = Number(digits.slice(0, 4));
  const month = Number(digits.slice(4, 6));
  const day = Number(digits.slice(6, 8));
  if (year < 1850 || year > 2100 || month < 1 || month > 12 || day < 1) return false;
  return day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}
