/** Tags and entities of web pages out of a line of chat: only names that HTML knows, so "a < b" stays. */

const BREAKS = /<br\s{0,5}\/?>|<\/(?:p|div|li|tr|h[1-6]|ul|ol|table|blockquote|pre)\s{0,5}>/gi;
const NAMES =
  "a|abbr|b|big|blockquote|body|br|button|center|code|div|dl|dt|dd|em|font|form|h[1-6]|head|hr|html|i|iframe|img|input|label|li|link|meta|ol|option|p|pre|s|script|section|select|small|span|strike|strong|style|sub|sup|table|tbody|td|th|thead|title|tr|u|ul|video";
const TAG = new RegExp(`</?(?:${NAMES})(?:\\s[^<>]{0,1000})?/?>`, "gi");
const ANY_TAG = new RegExp(TAG.source, "i");
const SCRIPT = /<(?:script|style|iframe)(?:\s[^<>]{0,1000})?>/i;
const COMMENT = /<!--[^<>]{0,1000}-->/g;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z]{2,8}\d{0,2}));/g;
const ANY_ENTITY = new RegExp(ENTITY.source);

// oxfmt-ignore
const NAMED: Readonly<Record<string, string>> = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " ", ensp: " ", emsp: " ", thinsp: " ",
  ndash: "–", mdash: "—", hellip: "…", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”", laquo: "«", raquo: "»",
  copy: "©", reg: "®", trade: "™", euro: "€", pound: "£", yen: "¥", cent: "¢", deg: "°", times: "×", divide: "÷",
  middot: "·", bull: "•", eacute: "é", egrave: "è", agrave: "à", ccedil: "ç", ntilde: "ñ", ouml: "ö", uuml: "ü", auml: "ä", szlig: "ß",
  rarr: "→", larr: "←",
};

/** `undefined` where there is nothing of a web page. */
export function hasMarkup(text: string): "script" | "markup" | undefined {
  if (text.includes("<")) {
    if (SCRIPT.test(text)) return "script";
    if (ANY_TAG.test(text)) return "markup";
  }
  return text.includes("&") && ANY_ENTITY.test(text) && decodeEntities(text) !== text ? "markup" : undefined;
}

export function stripTags(text: string): string {
  if (!text.includes("<")) return text;
  const made = text.replace(COMMENT, "").replace(BREAKS, "\n").replace(TAG, "");
  return made === text
    ? text
    : made
        .replace(/[ \t]{1,20}\n/g, "\n")
        .replace(/\n{3,}/g, "\n\n")
        .trim();
}

/** Unknown names and numbers that are no characters stay as they are. */
export function decodeEntities(text: string): string {
  return text.replace(ENTITY, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return Object.hasOwn(NAMED, name) ? NAMED[name]! : whole;
    const point = decimal === undefined ? Number.parseInt(hex!, 16) : Number.parseInt(decimal, 10);
    const isText =
      point === 9 ||
      point === 10 ||
      (point >= 32 && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff));
    return isText && !(point >= 0x7f && point <= 0x9f) ? String.fromCodePoint(point) : whole;
  });
}
