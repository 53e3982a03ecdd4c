/** Which encoding a text file has, with the evidence, and its bytes as text in which every invalid byte is marked. */
import { isUtf8 } from "node:buffer";
import { formatCount, formatPercent } from "../../util/index.ts";

export type Encoding = "utf-8" | "utf-16le" | "utf-16be" | "gb18030";
export const ENCODINGS: readonly Encoding[] = ["utf-8", "utf-16le", "utf-16be", "gb18030"];

export interface EncodingGuess {
  readonly encoding: Encoding;
  readonly evidence: string;
  /** Bytes of the byte-order mark. */
  readonly markBytes: number;
}

const MARKS: readonly { encoding: Encoding; bytes: readonly number[]; name: string }[] = [
  { encoding: "utf-8", bytes: [0xef, 0xbb, 0xbf], name: "EF BB BF" },
  { encoding: "utf-16le", bytes: [0xff, 0xfe], name: "FF FE" },
  { encoding: "utf-16be", bytes: [0xfe, 0xff], name: "FE FF" },
];

/** `sample` is the beginning of the file; `whole` says that nothing follows it. */
export function detectEncoding(sample: Buffer, whole: boolean, forced?: Encoding): EncodingGuess {
  const mark = MARKS.find(({ bytes }) => bytes.every((byte, i) => sample[i] === byte));
  if (forced !== undefined) {
    const markBytes = mark?.encoding === forced ? mark.bytes.length : 0;
    return { encoding: forced, evidence: "chosen by the caller", markBytes };
  }
  if (mark !== undefined) {
    return {
      encoding: mark.encoding,
      evidence: `byte-order mark ${mark.name}`,
      markBytes: mark.bytes.length,
    };
  }
  const wide = detectUtf16(sample);
  if (wide !== undefined) return wide;
  const text = whole ? sample : sample.subarray(0, cutUtf8(sample));
  if (isUtf8(text)) {
    const multibyte = countBytes(text, (byte) => byte >= 0xc0);
    const evidence =
      multibyte === 0
        ? "no byte-order mark; only ASCII in the sample"
        : `no byte-order mark; ${formatCount(multibyte)} multi-byte characters, all valid UTF-8`;
    return { encoding: "utf-8", evidence, markBytes: 0 };
  }
  return guessInvalidUtf8(text);
}

/** UTF-16 without a mark: ASCII punctuation of JSON and CSV leaves zero bytes on one side only. */
function detectUtf16(sample: Buffer): EncodingGuess | undefined {
  const length = Math.min(sample.length, 65_536) & ~1;
  if (length < 4) return undefined;
  let even = 0;
  let odd = 0;
  for (let i = 0; i < length; i += 2) {
    if (sample[i] === 0) even += 1;
    if (sample[i + 1] === 0) odd += 1;
  }
  const units = length / 2;
  const [encoding, high, low] =
    odd > even ? (["utf-16le", odd, even] as const) : (["utf-16be", even, odd] as const);
  if (high < units * 0.05 || low > high * 0.05) return undefined;
  const evidence = `no byte-order mark; ${formatPercent(high / units, 0)} of the ${encoding === "utf-16le" ? "second" : "first"} bytes of pairs are zero`;
  return { encoding, evidence, markBytes: 0 };
}

/** Bytes that are not UTF-8: GB18030 when they decode to Han characters, else UTF-8 with damage. */
function guessInvalidUtf8(sample: Buffer): EncodingGuess {
  const utf8 = new TextDecoder("utf-8").decode(sample);
  const gb = new TextDecoder("gb18030").decode(sample.subarray(0, safeCut(sample, "gb18030")));
  const utf8Bad = countCharacters(utf8, isReplacement);
  const utf8Good = countCharacters(utf8, (code) => code > 0x7f && code !== 0xfffd);
  const gbBad = countCharacters(gb, isReplacement);
  const gbHan = countCharacters(
    gb,
    (code) =>
      (code >= 0x4e00 && code <= 0x9fff) ||
      (code >= 0x3000 && code <= 0x303f) ||
      (code >= 0xff00 && code <= 0xffef),
  );
  const gbOther = countCharacters(gb, (code) => code > 0x7f) - gbHan - gbBad;
  // Chinese in UTF-8 looks like other Chinese in GB18030, but Chinese in GB18030 is hardly ever valid UTF-8.
  if (utf8Good <= 2 * utf8Bad && gbHan > 2 * (gbBad + gbOther)) {
    return {
      encoding: "gb18030",
      evidence: `not valid UTF-8; as GB18030 it holds ${formatCount(gbHan)} Chinese characters and ${formatCount(gbBad)} invalid bytes`,
      markBytes: 0,
    };
  }
  return {
    encoding: "utf-8",
    evidence: `${formatCount(utf8Bad)} places are not valid UTF-8, and it does not look like GB18030 or UTF-16 either`,
    markBytes: 0,
  };
}

const isReplacement = (code: number): boolean => code === 0xfffd;

function countBytes(bytes: Buffer, test: (byte: number) => boolean): number {
  let count = 0;
  for (const byte of bytes) if (test(byte)) count += 1;
  return count;
}

function countCharacters(text: string, test: (code: number) => boolean): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) if (test(text.charCodeAt(i))) count += 1;
  return count;
}

/**
 * Stands where bytes are invalid: half a surrogate pair, which no valid byte sequence decodes to, so a
 * row that holds one can be told from a row with an honest U+FFFD.
 */
export const INVALID_BYTES = "\udc80";

export interface TextDecoding {
  /** Text of `bytes` and of what earlier calls kept back. */
  push(bytes: Buffer): string;
  end(): string;
  /** Whether any text so far holds `INVALID_BYTES`. */
  readonly damaged: boolean;
}

/** Decodes in pieces that end between characters. */
export function decodeText(encoding: Encoding): TextDecoding {
  let kept: Buffer = Buffer.alloc(0);
  let damaged = false;
  const strict = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
  const lenient = new TextDecoder(encoding, { ignoreBOM: true });
  const decode = (bytes: Buffer): string => {
    if (bytes.length === 0) return "";
    if (encoding === "utf-8") {
      if (isUtf8(bytes)) return bytes.toString("utf8");
    } else {
      try {
        return strict.decode(bytes);
      } catch {
        // Some byte is invalid: found again below, where it can be marked.
      }
    }
    damaged = true;
    return encoding === "utf-8" ? markInvalidUtf8(bytes, lenient) : mark(lenient.decode(bytes));
  };
  return {
    push(bytes) {
      const all = kept.length === 0 ? bytes : Buffer.concat([kept, bytes]);
      // A run of 1 MiB without a place to cut is no text: decode it as it is.
      const cut = safeCut(all, encoding);
      const end = cut === 0 && all.length > 2 ** 20 ? all.length : cut;
      kept = all.subarray(end);
      return decode(all.subarray(0, end));
    },
    end() {
      const text = decode(kept);
      kept = Buffer.alloc(0);
      return text;
    },
    get damaged() {
      return damaged;
    },
  };
}

const mark = (text: string): string => text.replaceAll("\ufffd", INVALID_BYTES);
const HONEST_REPLACEMENT = Buffer.from("\ufffd");

/** A U+FFFD that the file itself holds stays one. */
function markInvalidUtf8(bytes: Buffer, lenient: TextDecoder): string {
  const parts: string[] = [];
  let start = 0;
  for (let at = bytes.indexOf(HONEST_REPLACEMENT); at >= 0; at = bytes.indexOf(HONEST_REPLACEMENT, start)) {
    parts.push(mark(lenient.decode(bytes.subarray(start, at))));
    start = at + HONEST_REPLACEMENT.length;
  }
  parts.push(mark(lenient.decode(bytes.subarray(start))));
  return parts.join("\ufffd");
}

/** The largest prefix that certainly ends between characters. */
function safeCut(bytes: Buffer, encoding: Encoding): number {
  if (encoding === "utf-8") return cutUtf8(bytes);
  if (encoding === "gb18030") {
    // Bytes below 0x30 are never part of a longer GB18030 character.
    let end = bytes.length;
    while (end > 0 && bytes[end - 1]! >= 0x30) end -= 1;
    return end;
  }
  const end = bytes.length & ~1;
  const high = end < 2 ? 0 : bytes[encoding === "utf-16le" ? end - 1 : end - 2]!;
  return high >= 0xd8 && high <= 0xdb ? end - 2 : end;
}

function cutUtf8(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return bytes.length;
    if (byte >= 0xc0) {
      const need = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return need > back ? bytes.length - back : bytes.length;
    }
  }
  return bytes.length;
}

const wellFormed = String.prototype as unknown as {
  readonly isWellFormed: (this: string) => boolean;
  readonly toWellFormed: (this: string) => string;
};

/** No lone surrogates. (ES2024, in Node since 20; the compiler's library is older.) */
export function isWellFormed(text: string): boolean {
  return wellFormed.isWellFormed.call(text);
}

/** Lone surrogates replaced by U+FFFD. */
export function toWellFormed(text: string): string {
  return wellFormed.toWellFormed.call(text);
}
