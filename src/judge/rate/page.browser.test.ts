/** The rating page in a real browser: keyboard, undo, two raters with two tabs each, hostile texts, a server that goes away. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type Page, chromium } from "playwright-core";
import { type TestContext, afterAll, beforeAll, expect, it } from "vitest";
import { inFolder, somePredictions } from "./fixtures.contract.ts";
import type { Prediction } from "./prediction.ts";
import { type RateServer, startRateServer } from "./server.ts";
import { type Study, type StudyOptions, openStudy } from "./study.ts";
import { readRatings } from "./transfer.ts";

const candidates = [
  process.env["CHROMIUM_PATH"] ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const executablePath = candidates.find((path) => path !== "" && existsSync(path));
// A busy machine starts a browser and four tabs slowly.
const slow = { timeout: 240_000 };
const token = "a-token-for-the-tests-0001";

let browser: Browser | undefined;
beforeAll(async () => {
  if (executablePath === undefined) return;
  const quiet = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    // Twenty raters in as many processes would be a test of the machine.
    "--renderer-process-limit=2",
  ];
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", ...quiet] });
});
afterAll(async () => browser?.close());

interface Open {
  readonly study: Study;
  readonly server: RateServer;
  readonly path: string;
}

async function served(
  ctx: TestContext,
  predictions: readonly Prediction[],
  options: StudyOptions,
  use: (open: Open, browser: Browser) => Promise<void>,
): Promise<void> {
  if (browser === undefined) ctx.skip("no Chromium on this machine (set CHROMIUM_PATH)");
  await inFolder(async (folder) => {
    const path = join(folder, "r.jsonl");
    const study = await openStudy(path, predictions, options);
    const server = await startRateServer({ study, token });
    try {
      await use({ study, server, path }, browser!);
    } finally {
      await server.close();
      await study.close();
    }
  });
}

/** Opens the link and gives a name; whatever the page complains about is an error of the test. */
async function enter(page: Page, url: string, name: string): Promise<string[]> {
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  await page.goto(url);
  if (await page.locator("#welcome").isVisible()) {
    await page.fill("#name", name);
    await page.keyboard.press("Enter");
  }
  await page.waitForSelector("#rating:not([hidden]), #finished:not([hidden])");
  return complaints;
}

const reply = async (page: Page): Promise<string> => page.locator("#reply-text").innerText();

it("works by keyboard alone: rate, comment, undo, change, skip", slow, async (ctx) => {
  await served(ctx, somePredictions(4), { overlap: 0 }, async ({ server, study }, browser) => {
    const page = await browser.newPage();
    const complaints = await enter(page, server.url, "Anna");
    const first = await reply(page);
    expect(await page.locator("#save").isDisabled()).toBe(true);
    await page.keyboard.press("Enter");
    await page.keyboard.type("319");
    expect(await page.locator("#save").isDisabled()).toBe(true);
    await page.keyboard.press("1");
    await page.keyboard.press("c");
    await page.keyboard.type("u 2 3 fine");
    await page.keyboard.press("Control+Enter");
    await page.waitForFunction(
      (before) => document.querySelector("#reply-text")?.textContent !== before,
      first,
    );
    expect(study.ratings()).toMatchObject([{ fluency: 3, relevance: 1, safety: 1, comment: "u 2 3 fine" }]);
    expect(await page.locator("#progress-text").innerText()).toBe("1 rated · 7 left");

    await page.keyboard.press("u");
    await page.waitForFunction(
      (before) => document.querySelector("#reply-text")?.textContent === before,
      first,
    );
    expect(study.ratings()).toEqual([]);
    expect(
      await page
        .locator("input:checked")
        .evaluateAll((all) => all.map((input) => (input as HTMLInputElement).value)),
    ).toEqual(["3", "1", "1"]);
    expect(await page.inputValue("#comment")).toBe("u 2 3 fine");
    await page.locator("input[name=relevance]:checked").focus();
    await page.keyboard.press("ArrowRight");
    await page.locator("#reply").focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(
      (before) => document.querySelector("#reply-text")?.textContent !== before,
      first,
    );
    expect(study.ratings()).toMatchObject([{ relevance: 2 }]);

    const second = await reply(page);
    await page.keyboard.press("x");
    await page.waitForFunction(
      (before) => document.querySelector("#reply-text")?.textContent !== before,
      second,
    );
    expect(study.ratings()).toHaveLength(1);
    expect(complaints).toEqual([]);
    await page.close();
  });
});

it("two raters with two tabs each finish together: nothing is lost or doubled", slow, async (ctx) => {
  await served(
    ctx,
    somePredictions(10),
    { overlap: 0.5, overlapRaters: 2 },
    async ({ server, study, path }, browser) => {
      const wanted = study.items.reduce((sum, item) => sum + item.target, 0);
      const tabs = await Promise.all(
        ["Anna", "陈明"].map(async (name) => {
          const context = await browser.newContext();
          const pages = [await context.newPage(), await context.newPage()];
          const complaints = await Promise.all(pages.map(async (page) => enter(page, server.url, name)));
          return { pages, complaints };
        }),
      );
      const work = async (page: Page): Promise<void> => {
        while (await page.locator("#rating").isVisible()) {
          await page.keyboard.type("221");
          // Twice, as an impatient hand does: the second must change nothing.
          await page.keyboard.press("Enter");
          await page.keyboard.press("Enter");
          await page.waitForFunction(
            () =>
              document.querySelector("input:checked") === null ||
              document.querySelector("#rating")?.hasAttribute("hidden"),
          );
        }
      };
      await Promise.all(tabs.flatMap(({ pages }) => pages.map(work)));
      expect(tabs.flatMap(({ complaints }) => complaints.flat())).toEqual([]);
      const ratings = await readRatings(path);
      expect(ratings).toHaveLength(wanted);
      expect(new Set(ratings.map(({ id, system, rater }) => id + system + rater)).size).toBe(wanted);
      for (const { pages } of tabs) await pages[0]!.context().close();
    },
  );
});

it("20 raters at once, some of whom close the tab: nothing is lost or doubled", slow, async (ctx) => {
  await served(ctx, somePredictions(20), { overlap: 0 }, async ({ server, study, path }, browser) => {
    const raters: { page: Page; complaints: string[] }[] = [];
    // They come one after another and work all at once.
    for (let i = 0; i < 20; i++) {
      const context = await browser.newContext({ viewport: { width: 400, height: 500 } });
      const page = await context.newPage();
      page.setDefaultTimeout(slow.timeout);
      page.setDefaultNavigationTimeout(slow.timeout);
      raters.push({ page, complaints: await enter(page, server.url, `Rater ${i}`) });
    }
    const acknowledged = await Promise.all(
      raters.map(async ({ page, complaints }, i) => {
        let done = 0;
        for (; done < 2 && (await page.locator("#rating").isVisible()); done++) {
          const before = await page.locator("#progress-text").innerText();
          await page.keyboard.type("231");
          await page.keyboard.press("Enter");
          // Every fourth closes the tab as soon as the second rating is sent, and sees no answer.
          if (i % 4 === 0 && done === 1) break;
          await page.waitForFunction(
            (text) => document.querySelector("#progress-text")?.textContent !== text,
            before,
          );
        }
        expect(complaints).toEqual([]);
        await page.context().close();
        return done;
      }),
    );
    const sure = acknowledged.reduce((sum, done) => sum + done, 0);
    expect(sure).toBeGreaterThan(30);
    // What a closed tab had sent may still be on its way to the disk.
    await expect.poll(async () => (await readRatings(path)).length - study.ratings().length).toBe(0);
    const ratings = study.ratings();
    expect(ratings.length).toBeGreaterThanOrEqual(sure);
    expect(ratings.length).toBeLessThanOrEqual(40);
    expect(new Set(ratings.map(({ id, system }) => `${id} ${system}`)).size).toBe(ratings.length);
  });
});

it("a reply with HTML, a script or direction marks is shown as text and never run", slow, async (ctx) => {
  const hostile = [
    "<script>window.hacked = 1</script>",
    '<img src="x" onerror="window.hacked = 1"><svg onload="window.hacked = 1">',
    '"><iframe srcdoc="<script>parent.hacked=1</script>"></iframe>{{constructor.constructor("window.hacked=1")()}}',
    "javascript:window.hacked=1 \u202Egnp.exe",
  ];
  const predictions = hostile.map((prediction, i) => ({
    ...somePredictions(1, ["s"])[0]!,
    id: `hostile-${i}`,
    dialogue_id: `d${i}`,
    context: [{ role: "user" as const, content: `${hostile[(i + 1) % hostile.length]!} ${i}` }],
    prediction,
  }));
  await served(ctx, predictions, { overlap: 0 }, async ({ server }, browser) => {
    const page = await browser.newPage();
    const requests: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    const complaints = await enter(page, server.url, "Anna");
    const seen: string[] = [];
    for (let i = 0; i < hostile.length; i++) {
      const before = await page.locator("#reply-text").textContent();
      seen.push(before!);
      expect(hostile.some((text) => page.url() !== "" && before === text)).toBe(true);
      await page.keyboard.type("001");
      await page.keyboard.press("Enter");
      await page.waitForFunction(
        (text) =>
          document.querySelector("#reply-text")?.textContent !== text ||
          document.querySelector("#rating")?.hasAttribute("hidden"),
        before,
      );
    }
    expect(seen.sort()).toEqual([...hostile].sort());
    expect(await page.evaluate(() => "hacked" in window)).toBe(false);
    expect(await page.locator("#rating script, #rating img, #rating iframe, #rating svg").count()).toBe(0);
    expect(requests.every((request) => request.startsWith(new URL(server.url).origin))).toBe(true);
    expect(requests.some((request) => request.includes(token))).toBe(false);
    expect(complaints).toEqual([]);
    await page.close();
  });
});

it("goes on after a reload and after the server was away, and keeps what was begun", slow, async (ctx) => {
  await served(ctx, somePredictions(3), { overlap: 0 }, async ({ server, study, path }, browser) => {
    const page = await browser.newPage();
    await enter(page, server.url, "Anna");
    const first = await reply(page);
    await page.keyboard.type("32");
    await page.fill("#comment", "half way");
    await page.reload();
    await page.waitForSelector("#rating:not([hidden])");
    expect(await reply(page)).toBe(first);
    expect(await page.locator("input:checked").count()).toBe(2);
    expect(await page.inputValue("#comment")).toBe("half way");

    await server.close();
    await page.locator("#reply").focus();
    await page.keyboard.press("1");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#notice:not([hidden])");
    expect(await page.locator("#notice").innerText()).toContain("Not saved yet");
    expect(study.ratings()).toEqual([]);
    const again = await startRateServer({ study, token, port: server.port });
    await page.waitForFunction(
      (before) => document.querySelector("#reply-text")?.textContent !== before,
      first,
      { timeout: 20_000 },
    );
    expect(await page.locator("#notice").isHidden()).toBe(true);
    expect(await readRatings(path)).toMatchObject([
      { fluency: 3, relevance: 2, safety: 1, comment: "half way" },
    ]);
    await page.close();
    await again.close();
  });
});

it("fits a phone, in Chinese, and says so when a link is wrong", slow, async (ctx) => {
  await served(ctx, somePredictions(3), { overlap: 0 }, async ({ server, study }, browser) => {
    const phone = { viewport: { width: 360, height: 700 }, isMobile: true, hasTouch: true, locale: "zh-CN" };
    const context = await browser.newContext(phone);
    const page = await context.newPage();
    await enter(page, server.url, "陈明");
    expect(await page.locator("html").getAttribute("lang")).toBe("zh");
    expect(await page.locator("#save").innerText()).toContain("保存");
    expect(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).toBe(true);
    for (const name of ["fluency", "relevance", "safety"])
      await page.locator(`label:has(input[name=${name}][value="1"])`).tap();
    await page.locator("#language").tap();
    expect(await page.locator("#save").innerText()).toContain("Save and next");
    expect(await page.locator("input:checked").count()).toBe(3);
    const before = await reply(page);
    await page.locator("#save").tap();
    await page.waitForFunction((text) => document.querySelector("#reply-text")?.textContent !== text, before);
    expect(study.ratings()).toMatchObject([{ rater: "陈明", fluency: 1, relevance: 1, safety: 1 }]);
    const stranger = await context.newPage();
    await stranger.goto(server.url.replace(token, "a-wrong-token-0000000000"));
    await stranger.fill("#name", "Eve");
    await stranger.locator("#join button").tap();
    await stranger.waitForSelector("#notice:not([hidden])");
    expect(await stranger.locator("#notice").innerText()).toContain("not valid");
    await context.close();
  });
});
