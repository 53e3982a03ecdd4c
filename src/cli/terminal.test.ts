/** What is printed where: live blocks, pipes, JSON; the width of Chinese; bars and curves. */
import { describe, expect, it } from "vitest";
import { type OutputStreams, bar, sparkline, terminalOutput } from "./terminal.ts";
import { displayWidth, fitTo, sideBySide, wrap } from "./text-width.ts";

function recorder(
  isTTY: boolean,
  columns = 20,
): { streams: OutputStreams; printed: () => string; at: (ms: number) => void } {
  let [printed, now] = ["", 0];
  const write = (text: string | Uint8Array): boolean => {
    printed += String(text);
    return true;
  };
  return {
    streams: { stdout: { write, isTTY, columns }, stderr: { write }, now: () => now },
    printed: () => printed,
    at: (ms) => {
      now = ms;
    },
  };
}

describe("terminalOutput", () => {
  it("replaces a live block by the next one and by lines, cut to the width", () => {
    const { streams, printed, at } = recorder(true, 10);
    const output = terminalOutput({ json: false }, streams);
    output.live("one line", ["first row is long", "second"]);
    at(200);
    output.live("one line", ["third", "fourth"]);
    output.line("done");
    expect(printed()).toBe("first ro…\nsecond\r\u001B[1A\u001B[Jthird\nfourth\r\u001B[1A\u001B[Jdone\n");
  });

  it("gives a pipe plain lines, one every few seconds, without control characters", () => {
    const { streams, printed, at } = recorder(false);
    const output = terminalOutput({ json: false }, streams);
    for (let second = 0; second <= 10; second++) {
      at(second * 1000);
      output.live(`second ${second}`, ["never", "shown"]);
    }
    output.line("end");
    expect(printed()).toBe("second 0\nsecond 5\nsecond 10\nend\n");
  });

  it("prints nothing but JSON in JSON mode, even on a terminal", () => {
    const { streams, printed } = recorder(true);
    const output = terminalOutput({ json: true }, streams);
    output.line("text");
    output.live("text");
    output.json({ type: "result", value: 1 });
    expect(printed()).toBe('{"type":"result","value":1}\n');
  });
});

describe("the width of text", () => {
  it("counts Chinese and emoji as two columns, styles and joiners as none", () => {
    expect(displayWidth("abc")).toBe(3);
    expect(displayWidth("订单号，")).toBe(8);
    expect(displayWidth("\u001B[1mab\u001B[22m")).toBe(2);
    expect(displayWidth("e\u0301")).toBe(1);
    expect(displayWidth("🍵")).toBe(2);
  });

  it("wraps at blanks, between Chinese characters, and within words that are too long", () => {
    expect(wrap("where is my order", 9)).toEqual(["where is", "my order"]);
    expect(wrap("您的订单在路上", 6)).toEqual(["您的订", "单在路", "上"]);
    expect(wrap("abcdefgh", 3)).toEqual(["abc", "def", "gh"]);
    expect(wrap("a\n\nb", 5)).toEqual(["a", "", "b"]);
    expect(wrap("", 5)).toEqual([""]);
  });

  it("cuts to a width without splitting a wide character, and ends styles", () => {
    expect(fitTo("订单号码", 6)).toBe("订单…");
    expect(fitTo("\u001B[1mabcdef\u001B[22m", 4)).toBe("\u001B[1mabc…\u001B[0m");
  });

  it("sets two texts side by side", () => {
    expect(sideBySide("您的订单在路上了", "short", 25)).toEqual(["您的订单在  │ short", "路上了      │"]);
  });
});

describe("pictures of numbers", () => {
  it("draws bars and curves", () => {
    expect(bar(0.5, 4)).toBe("██░░");
    expect(bar(7, 3)).toBe("███");
    expect(sparkline([4, 3, 2, 1], 4)).toBe("█▆▃▁");
    expect(sparkline([4, 4, 0, 0], 2)).toBe("█▁");
    expect(sparkline([2], 10)).toBe("▁");
  });
});
