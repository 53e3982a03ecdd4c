/** What commands print through: a live block on a terminal, plain lines in a pipe, JSON lines on demand. */
import { styleText } from "node:util";
import { fitTo } from "./text-width.ts";

export interface Output {
  /** A line for people; nothing in JSON mode. */
  line(text: string): void;
  /**
   * What the next call replaces: on a terminal `block` (or `text` alone), in a pipe `text`, at most every few seconds.
   */
  live(text: string, block?: readonly string[]): void;
  /** Takes the live block off the screen. */
  clear(): void;
  /** One JSON line; nothing outside JSON mode. */
  json(value: Readonly<Record<string, unknown>>): void;
  /** A line for people on standard error, in every mode. */
  notice(text: string): void;
  readonly isJson: boolean;
  readonly isTerminal: boolean;
  /** Columns of the terminal; 100 in a pipe. */
  readonly width: number;
}

/** Where it is written: the process's own streams, or those of a test. */
export interface OutputStreams {
  readonly stdout: Pick<NodeJS.WriteStream, "write"> & { isTTY?: boolean; columns?: number };
  readonly stderr: Pick<NodeJS.WriteStream, "write">;
  /** Milliseconds. */
  readonly now?: () => number;
}

const pipeInterval = 5000;
const frameInterval = 80;

export function terminalOutput(
  options: { readonly json: boolean },
  { stdout, stderr, now = () => performance.now() }: OutputStreams = process,
): Output {
  const isTerminal = stdout.isTTY === true && !options.json;
  let rows = 0;
  let last = Number.NEGATIVE_INFINITY;
  const width = (): number => (stdout.isTTY === true ? (stdout.columns ?? 80) : 100);
  const clear = (): void => {
    // Up to the block's first row, then everything below goes.
    if (rows > 0) stdout.write(`\r${rows > 1 ? `\u001B[${rows - 1}A` : ""}\u001B[J`);
    rows = 0;
  };
  return {
    isJson: options.json,
    isTerminal,
    get width() {
      return width();
    },
    clear,
    line: (text) => {
      if (options.json) return;
      clear();
      stdout.write(`${text}\n`);
    },
    live: (text, block = [text]) => {
      if (options.json || now() - last < (isTerminal ? frameInterval : pipeInterval)) return;
      last = now();
      if (!isTerminal) stdout.write(`${text}\n`);
      else {
        clear();
        stdout.write(block.map((line) => fitTo(line, width() - 1)).join("\n"));
        rows = block.length;
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
export const yellow = (text: string): string => paint("yellow", text);
export const cyan = (text: string): string => paint("cyan", text);

function paint(style: Parameters<typeof styleText>[0], text: string): string {
  const wanted = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined;
  return wanted ? styleText(style, text) : text;
}

/** `fraction` of 1 as a bar of `width` columns. */
export function bar(fraction: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
}

const heights = "▁▂▃▄▅▆▇█";

/** The course of `values` in `width` columns: means of equal shares, the highest as a full block. */
export function sparkline(values: readonly number[], width: number): string {
  const columns = Math.min(width, values.length);
  const means = Array.from({ length: columns }, (_, i) => {
    const share = values.slice(
      Math.floor((i * values.length) / columns),
      Math.floor(((i + 1) * values.length) / columns),
    );
    return share.reduce((sum, value) => sum + value, 0) / share.length;
  });
  const [low, high] = [Math.min(...means), Math.max(...means)];
  return means
    .map((mean) => heights[high === low ? 0 : Math.round(((mean - low) / (high - low)) * 7)] ?? " ")
    .join("");
}
