/** Token ids back to text: every token is some bytes, and text comes out only when its characters are whole. */
import { fromByteAlphabet } from "./byte-alphabet.ts";
import { space } from "./pre-tokenize.ts";
import type { TokenizerFile } from "./tokenizer-json.ts";

/** Decodes token by token, as generation needs it. The pushes and the end together equal `decode` of all ids. */
export interface StreamDecoder {
  /** The text that is complete after this token; it may be empty. */
  push(id: number): string;
  /** What is left: the start of a character that never came becomes U+FFFD. */
  end(): string;
}

export interface DecodeOptions {
  readonly skipSpecialTokens?: boolean;
  /** `false` when the text goes on after other text: a leading space then stays. */
  readonly opensText?: boolean;
}

export interface TokenDecoder {
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  stream(options?: DecodeOptions): StreamDecoder;
}

const byteName = /^<0x([0-9A-Fa-f]{2})>$/;
const none = new Uint8Array(0);

/**
 * Ids without a token (rows that pad the embedding) decode to nothing, as in Hugging Face. Invalid UTF-8 becomes
 * U+FFFD by the WHATWG rules; Hugging Face's byte fallback gives one for every byte of such a run instead,
 * which cannot be known while streaming.
 */
export function tokenDecoder(
  tokens: readonly (string | undefined)[],
  addedIds: ReadonlySet<number>,
  specialIds: ReadonlySet<number>,
  file: Pick<TokenizerFile, "decoder" | "dropsLeadingSpace">,
): TokenDecoder {
  const encoder = new TextEncoder();
  const known: Uint8Array[] = [];

  const bytesOf = (id: number): Uint8Array => {
    const seen = known[id];
    if (seen !== undefined) return seen;
    const token = tokens[id];
    if (token === undefined) return none;
    let bytes: Uint8Array | undefined;
    if (file.decoder === "byte-level") {
      bytes = addedIds.has(id) ? undefined : fromByteAlphabet(token);
      bytes ??= encoder.encode(token);
    } else {
      const byte = byteName.exec(token)?.[1];
      bytes =
        byte === undefined
          ? encoder.encode(token.replaceAll(space, " "))
          : Uint8Array.of(Number.parseInt(byte, 16));
    }
    known[id] = bytes;
    return bytes;
  };

  const stream = (options: DecodeOptions = {}): StreamDecoder => {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    let dropsSpace = file.dropsLeadingSpace && options.opensText !== false;
    const give = (text: string): string => {
      if (!dropsSpace || text === "") return text;
      dropsSpace = false;
      return text.startsWith(" ") ? text.slice(1) : text;
    };
    return {
      push: (id) => {
        if (options.skipSpecialTokens === true && specialIds.has(id)) return "";
        return give(utf8.decode(bytesOf(id), { stream: true }));
      },
      end: () => give(utf8.decode()),
    };
  };

  return {
    stream,
    decode: (ids, options) => {
      const decoder = stream(options);
      let text = "";
      for (const id of ids) text += decoder.push(id);
      return text + decoder.end();
    },
  };
}
