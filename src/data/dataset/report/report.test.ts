/** The report shows everything, runs nothing, and stands in a real browser in light, dark and narrow. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { describe, expect, it } from "vitest";
import { manifestSchema } from "../manifest.ts";
import { escapeHtml, markup } from "./html.ts";
import { fixtureManifest } from "./manifest.fixture.ts";
import { renderReport } from "./render.ts";

const BROWSER = "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

describe("escapeHtml", () => {
  it("leaves no markup and shows what cannot be seen", () => {
    expect(escapeHtml(`<a href="x">'&`)).toBe("&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    expect(escapeHtml("a\u202Eb\u0000c\ud800d")).toBe("a⟨U+202E⟩b⟨U+0000⟩c⟨U+D800⟩d");
    expect(escapeHtml("一行\n👨‍👩‍👧")).toBe("一行\n👨‍👩‍👧");
  });

  it("takes no text of the data for markup, whatever it looks like", () => {
    const bold = markup`<b>x</b>`;
    expect(markup`${bold}${"<b>x</b>"}`.markup).toBe("<b>x</b>&lt;b&gt;x&lt;/b&gt;");
  });
});

describe("renderReport", () => {
  it("is made from a manifest that the schema accepts", () => {
    expect(manifestSchema.safeParse(fixtureManifest()).success).toBe(true);
  });

  it("shows texts of the data as text", () => {
    const page = renderReport(fixtureManifest());
    // Inside quoted attributes anything may stand that holds no quote.
    const bare = page.replaceAll(/"[^"<>]*"/g, '""');
    const finds = (pattern: RegExp): string | undefined => pattern.exec(bare)?.[0];
    expect(finds(/<script|<img|<iframe/)).toBeUndefined();
    expect(finds(/<\w[^>]*\son\w+=/)).toBeUndefined();
    expect(page.includes("\u202E")).toBe(false);
    expect(page.split("&lt;script&gt;").length).toBeGreaterThan(8);
    expect(finds(/.{30}(?:undefined|NaN|\[object).{30}/)).toBeUndefined();
    // Nothing is asked of any other place.
    expect(finds(/<[^>]*\s(?:src|href)=|url\(|@import/)).toBeUndefined();
  });

  it("says what a manager looks for", () => {
    const page = renderReport(fixtureManifest()).replaceAll(/\s+/g, " ");
    for (const text of [
      "12,000 read = 7,400 kept + 4,600 rejected",
      "limit 30 %",
      "Reply length",
      "41 rows alike",
      "exceed its limit of 2,048",
      "Switched off: Language",
      "Found nothing: Encoding",
    ]) {
      expect(page.includes(text), text).toBe(true);
    }
  });

  it("stands an empty data set", () => {
    const none = {
      file: "train.jsonl",
      sha256: "",
      bytes: 0,
      examples: 0,
      conversations: 0,
      replies: 0,
      intents: {},
    };
    const { tokens: _, ...lengths } = fixtureManifest().lengths;
    const page = renderReport(
      fixtureManifest({
        rules: [],
        warnings: [],
        rejected: {},
        rows: { read: 0, kept: 0, rejected: 0 },
        splits: { train: none, validation: none, test: none },
        lengths,
      }),
    );
    expect(/undefined|NaN|Infinity/.exec(page)?.[0]).toBeUndefined();
    expect(page.includes("Nothing stands out")).toBe(true);
  });

  it("looks right in a browser", { timeout: 240_000 }, async (ctx) => {
    if (!existsSync(BROWSER)) ctx.skip(`there is no browser at ${BROWSER}`);
    const folder = await mkdtemp(join(tmpdir(), "attune-report-"));
    const browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS });
    try {
      const path = join(folder, "report.html");
      await writeFile(path, renderReport(fixtureManifest()));
      for (const [colorScheme, width] of [
        ["light", 1200],
        ["dark", 1200],
        ["light", 360],
      ] as const) {
        const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
        const complaints: string[] = [];
        page.on("console", (message) => complaints.push(message.text()));
        page.on("pageerror", (error) => complaints.push(error.message));
        page.on("request", (request) => request.url().startsWith("file:") || complaints.push(request.url()));
        await page.goto(pathToFileURL(path).href);
        expect(await page.title()).toBe("Data set report");
        expect(await page.locator("script, img, iframe").count()).toBe(0);
        expect(await page.locator("mark").first().textContent()).toContain('document.title="pwned"');
        // Nothing sticks out to the right.
        expect(
          await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          ),
        ).toBe(0);
        const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        expect(paper).toBe(colorScheme === "dark" ? "rgb(15, 19, 24)" : "rgb(255, 255, 255)");
        expect(complaints).toEqual([]);
        await page.close();
      }
    } finally {
      await browser.close();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("has colours that can be read (WCAG AA) in both schemes", () => {
    const page = renderReport(fixtureManifest());
    const schemes = [...page.matchAll(/--paper: (#\w+);[^}]*/g)].slice(0, 2).map(([block]) => block);
    expect(schemes).toHaveLength(2);
    for (const block of schemes) {
      const colour = (name: string): string => new RegExp(`--${name}: (#\\w+)`).exec(block)![1]!;
      for (const [text, ground] of [
        ["ink", "card"],
        ["soft", "card"],
        ["soft", "sunk"],
        ["ink", "warn-soft"],
        ["soft", "warn-soft"],
        ["accent", "card"],
        ["good", "card"],
        ["bad", "card"],
        ["warn", "card"],
        ["mark-ink", "mark"],
      ] as const) {
        expect(contrast(colour(text), colour(ground)), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5);
      }
    }
  });
});

/** Contrast ratio of two colours. Source: WCAG 2.2. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string): number => {
    const [r, g, blue] = [1, 3, 5].map((at) => {
      const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * blue!;
  };
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light! + 0.05) / (dark! + 0.05);
}
