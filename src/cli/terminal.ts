/** What commands print through: a live line on a terminal, plain lines in a pipe, JSON lines on demand. */
import { styleText } from "node:util";

export interface Output {
  /** A line for people; nothing in JSON mode. */
  line(text: string): void;
  /** A line that the next one replaces on a terminal; in a pipe it is printed at most every few seconds. */
  live(text: string): void;
  /** One JSON line; nothing outside JSON mode. */
  json(value: Readonly<Record<string, unknown>>): void;
  /** A line for people on standard error, in every mode. */
  notice(text: string): void;
  readonly isJson: boolean;
  readonly isTerminal: boolean;
}

const pipeInterval = 5000;

export function terminalOutput(options: { readonly json: boolean }): Output {
  const { stdout, stderr } = process;
  const isTerminal = stdout.isTTY === true && !options.json;
  let liveShown = false;
  let lastLive = 0;
  const clear = (): void => {
    if (liveShown) stdout.write("\r\u001B[K");
    liveShown = false;
  };
  return {
    isJson: options.json,
    isTerminal,
    line: (text) => {
      if (options.json) return;
      clear();
      stdout.write(`${text}\n`);
    },
    live: (text) => {
      if (options.json) return;
      if (isTerminal) {
        const width = stdout.columns ?? 80;
        stdout.write(`\r\u001B[K${text.length < width ? text : `${text.slice(0, width - 2)}…`}`);
        liveShown = true;
      } else if (performance.now() - lastLive >= pipeInterval) {
        lastLive = performance.now();
        stdout.write(`${text}\n`);
      }
    },
    json: (value) => {
      if (options.json) stdout.write(`${JSON.stringify(value)}\n`);
    },
    notice: (text) => {
      clear();
      stderr.write(`${text}\n`);
    },
  };
}

export const bold = (text: string): string => paint("bold", text);
export const dim = (text: string): string => paint("dim", text);
export const green = (text: string): string => paint("green", text);
export const red = (text: string): string => paint("red", text);

function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined
    ? styleText(style, text)
    : text;
}
