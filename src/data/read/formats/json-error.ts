/** Where and why a text is not JSON: the engine's own messages give no position for half of the errors. */

export interface JsonFault {
  /** 0-based offset of the first wrong character; the length of the text when it ends too early. */
  readonly offset: number;
  readonly reason: string;
}

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/** Walks `text` without recursion, so that depth is no danger. Call it only for text that JSON.parse refused. */
export function findJsonFault(text: string): JsonFault {
  let at = 0;
  const match = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found === null) return false;
    at = pattern.lastIndex;
    return true;
  };
  const fault = (expected: string): JsonFault =>
    at >= text.length
      ? { offset: text.length, reason: `it ends where ${expected} should follow` }
      : { offset: at, reason: `${expected} expected, found ${JSON.stringify(text.slice(at, at + 1))}` };
  const closers: string[] = [];
  let expect: "value" | "value or ]" | "key" | "key or }" | "comma" = "value";
  for (;;) {
    match(SPACE);
    const char = text.charAt(at);
    if (expect === "comma") {
      const closer = closers.at(-1);
      if (closer === undefined) return fault("the end of the row");
      if (char === closer) {
        closers.pop();
        at += 1;
        if (closers.length === 0) {
          match(SPACE);
          return at < text.length
            ? fault("the end of the row")
            : { offset: at, reason: "it is not valid JSON" };
        }
      } else if (char === ",") {
        at += 1;
        expect = closer === "}" ? "key" : "value";
      } else return fault(`"," or "${closer}"`);
      continue;
    }
    if (expect === "key" || expect === "key or }") {
      if (char === "}" && expect === "key or }") {
        expect = "comma";
        continue;
      }
      if (char !== '"') return fault("a field name in double quotes");
      const wrong = skipString();
      if (wrong !== undefined) return wrong;
      match(SPACE);
      if (text.charAt(at) !== ":") return fault('":"');
      at += 1;
      expect = "value";
      continue;
    }
    if (char === "]" && expect === "value or ]") {
      expect = "comma";
    } else if (char === "{" || char === "[") {
      at += 1;
      closers.push(char === "{" ? "}" : "]");
      expect = char === "{" ? "key or }" : "value or ]";
    } else if (char === '"') {
      const wrong = skipString();
      if (wrong !== undefined) return wrong;
      expect = "comma";
    } else if (match(NUMBER) || match(WORD)) {
      expect = "comma";
    } else return fault("a value");
  }

  /** From an opening quote to behind its closing one. */
  function skipString(): JsonFault | undefined {
    for (at += 1; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 0x22) {
        at += 1;
        return undefined;
      }
      if (code < 0x20) {
        const name = code === 0 ? "a NUL byte" : code === 10 ? "a line break" : `control character ${code}`;
        return { offset: at, reason: `${name} inside a string` };
      }
      if (code === 0x5c) {
        const escape = text.charAt(at + 1);
        const length = escape === "u" ? 5 : 1;
        const valid =
          escape === "u" ? /^[\da-fA-F]{4}$/.test(text.slice(at + 2, at + 6)) : '"\\/bfnrt'.includes(escape);
        if (at + 1 < text.length && !valid) {
          return { offset: at, reason: `"\\${escape}" is no escape that JSON knows` };
        }
        at += length;
      }
    }
    at = text.length;
    return { offset: at, reason: "it ends inside a string" };
  }
}
