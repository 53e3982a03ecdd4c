/** The printable characters that byte-level vocabularies spell bytes with (GPT-2's table). */

const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** Byte → character; bytes that do not print take the code points from 256 on. Source: openai/gpt-2 `bytes_to_unicode`. */
export const byteCharacters: readonly string[] = (() => {
  let spare = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : spare++));
})();

const byteOfCharacter = new Map(byteCharacters.map((character, byte) => [character, byte]));
const encoder = new TextEncoder();

/** Text → its UTF-8 bytes in the alphabet. */
export function toByteAlphabet(text: string): string {
  if (/^[!-~]*$/.test(text)) return text;
  let spelled = "";
  for (const byte of encoder.encode(text)) spelled += byteCharacters[byte]!;
  return spelled;
}

/** The bytes a token of the alphabet stands for; `undefined` when it holds any other character. */
export function fromByteAlphabet(token: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = byteOfCharacter.get(character);
    if (byte === undefined) return undefined;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
