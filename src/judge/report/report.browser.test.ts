/** The report from hostile and missing evidence: nothing of it runs, is fetched, overflows, or stays untranslated; and in a real browser. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readDialogues } from "./dialogues.ts";
import { gatherReport } from "./gather.ts";
import { modelCardText } from "./model-card.ts";
import { renderReport } from "./render.ts";
import type { ReportFacts, ReportSettings } from "./types.ts";

const attack = `<script>globalThis.broken = 1</script><img src="http://127.0.0.1:9/x" onerror="globalThis.broken = 2">`;
const settings: ReportSettings = {
  model: "models/tiny",
  data: { train: "no-such-data" },
  seed: 1,
  lora: { rank: 8, alpha: 16, dropout: 0, targets: "all-linear", rsLora: false },
  training: { epochs: 1, batch: 4, base: "float32", fold: true },
  optimizer: { learningRate: 1e-3, weightDecay: 0, clipNorm: 1 },
  schedule: { kind: "cosine" },
  runtime: { provider: "cpu" },
};

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-report-"));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

async function facts(notices: string[] = []): Promise<ReportFacts> {
  const lines = [
    { type: "started", steps: 20, stepsPerEpoch: 20, trainableParameters: 10, totalParameters: 100 },
    ...Array.from({ length: 20 }, (_, i) => ({
      type: "step",
      step: i + 1,
      loss: 3 - i / 10,
      gradientNorm: 1,
      learningRate: 1e-3,
    })),
    { type: "warning", step: 3, message: attack },
  ].map((event) => JSON.stringify(event));
  lines.splice(4, 0, "{broken");
  await writeFile(join(folder, "events.jsonl"), `${lines.join("\n")}\n{"type":"st`);
  await writeFile(
    join(folder, "run.json"),
    JSON.stringify({ model: {}, data: { sources: [{ path: attack }] } }),
  );
  await mkdir(join(folder, "evaluation"), { recursive: true });
  const said = Array.from({ length: 30 }, (_, i) =>
    ["base", "adapter"].map((system) =>
      JSON.stringify({
        id: `p${i}`,
        system,
        prediction: `${attack}${"x".repeat(900)}`,
        reference: attack,
        context: [{ role: "user", content: attack }],
      }),
    ),
  ).flat();
  await writeFile(join(folder, "evaluation", "predictions.jsonl"), `no json\n${said.join("\n")}\n`);
  return gathered({ notice: (message) => notices.push(message) });
}

function gathered(more: Partial<Parameters<typeof gatherReport>[0]>): ReturnType<typeof gatherReport> {
  return gatherReport({
    run: folder,
    settings,
    manifestFile: join(folder, "run.json"),
    eventsFile: join(folder, "events.jsonl"),
    madeBy: "Attune test",
    date: "2026-01-01",
    ...more,
  });
}

it("is written without an evaluation, names what is missing and what cannot be read", async () => {
  const notices: string[] = [];
  const made = await facts(notices);
  expect(made.curves.found).toMatchObject({ broken: 1, firstBroken: 5, lastStep: 20 });
  expect(made.dialogues.found?.shown).toHaveLength(10);
  expect(notices.join("\n")).toContain("line 5");
  const page = renderReport(made);
  expect(page).not.toMatch(/<script|<img src="http/);
  expect(page).toContain("attune evaluate");
  expect(page).toContain("default-src 'none'");
  expect(modelCardText(made)).toContain("library_name: peft");
});

it("refuses a damaged evaluation that is named, and notes one that is only found", async () => {
  await writeFile(
    join(folder, "evaluation", "evaluation.json"),
    '{"kind":"attune-evaluation","schemaVersion":1}',
  );
  const notices: string[] = [];
  expect((await facts(notices)).evaluation.missing?.en).toContain("cannot be read");
  await rm(join(folder, "evaluation", "evaluation.json"));
});

it("shows the run's own evaluation, and the one of its diagnosis where there is no other", async () => {
  const own = join(folder, "diagnosis", "evaluation");
  await mkdir(own, { recursive: true });
  await writeFile(join(own, "evaluation.json"), "{}");
  expect((await facts()).paths.evaluation).toContain(join("diagnosis", "evaluation"));
  await writeFile(join(folder, "evaluation", "evaluation.json"), "{}");
  expect((await facts()).paths.evaluation).not.toContain("diagnosis");
  await rm(join(folder, "evaluation", "evaluation.json"));
  await rm(join(folder, "diagnosis"), { recursive: true });
});

it("says what is wrong with a path that is named, be it a folder or the file in it", async () => {
  const file = join(folder, "evaluation", "evaluation.json");
  await writeFile(file, "{}");
  await expect(gathered({ evaluation: file })).rejects.toThrow("not an evaluation that this Attune can read");
  for (const [more, problem] of [
    [{ evaluation: "no-such-folder" }, "the evaluation no-such-folder/evaluation.json does not exist"],
    [{ diagnosis: join(folder, "run.json") }, "the findings"],
    [{ ratings: folder }, "is a folder, not a file"],
    [{ ratings: "x".repeat(5000) }, "no path that can be opened"],
  ] as const)
    await expect(gathered(more)).rejects.toThrow(problem);
  await rm(file);
});

it("passes over lines beyond its limit", async () => {
  const path = join(folder, "long.jsonl");
  await writeFile(path, `${"y".repeat(5_000_000)}\n`);
  expect(await readDialogues(path, undefined)).toMatchObject({
    shown: [],
    unreadable: 1,
    firstUnreadable: 1,
  });
});

const executablePath = [
  process.env["CHROMIUM_PATH"] ?? "",
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
].find((path) => path !== "" && existsSync(path));

it("runs nothing, asks for nothing and overflows nowhere, in both languages and widths", async (ctx) => {
  if (executablePath === undefined) return ctx.skip("no Chromium on this machine (set CHROMIUM_PATH)");
  const path = join(folder, "report.html");
  await writeFile(path, renderReport(await facts()));
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const page = await browser.newPage();
    const requests: string[] = [];
    const complaints: string[] = [];
    page.on("request", (request) => requests.push(request.url()));
    page.on("console", (message) => complaints.push(message.text()));
    await page.goto(pathToFileURL(path).href);
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      for (const language of ["zh", "en"]) {
        await page.locator(`label[for=lang-${language}]`).click();
        expect(await page.locator("h1").isVisible()).toBe(true);
        expect(await page.locator(`#data h2 [lang=${language}]`).isVisible()).toBe(true);
        expect(await page.locator(`#data h2 [lang=${language === "zh" ? "en" : "zh"}]`).isVisible()).toBe(
          false,
        );
        expect(
          await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          ),
        ).toBe(0);
      }
    }
    await page.locator("label[for=theme-dark]").click();
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(
      "rgb(15, 19, 24)",
    );
    expect(await page.evaluate(() => "broken" in globalThis)).toBe(false);
    expect(requests.filter((url) => !url.startsWith("file:") && !url.startsWith("data:"))).toEqual([]);
    expect(complaints).toEqual([]);
  } finally {
    await browser.close();
  }
}, 240_000);
