/** Calibrations kept between a plan and a run. */
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cachedCalibration, calibrationFile, keepCalibration } from "./calibration-cache.ts";

const calibration = {
  rates: { operationsPerSecond: { matrix: 2e11 }, bytesPerSecond: 4e10, nodeSeconds: 3e-6 },
  passes: [{ seconds: 1, factor: 1.2 }],
  measuringFactor: 1.1,
  updateFactor: 5,
};
const day = 24 * 3600 * 1000;
let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-calibration-"));
  file = join(folder, "attune", "calibration.json");
});
afterEach(() => rm(folder, { recursive: true }));

test("what was kept is found again by its key, for a month", async () => {
  const now = new Date("2026-01-10T00:00:00Z");
  expect(await cachedCalibration("a", file)).toBeUndefined();
  await keepCalibration("a", calibration, file, now);
  await keepCalibration("b", { ...calibration, updateFactor: 6 }, file, now);
  await keepCalibration("a", { ...calibration, updateFactor: 7 }, file, now);
  const at = now.getTime();
  expect(await cachedCalibration("a", file, at + day)).toEqual({ ...calibration, updateFactor: 7 });
  expect(await cachedCalibration("b", file, at + day)).toMatchObject({ updateFactor: 6 });
  expect(await cachedCalibration("c", file, at + day)).toBeUndefined();
  expect(await cachedCalibration("a", file, at + 31 * day)).toBeUndefined();
  // A clock that was put back.
  expect(await cachedCalibration("a", file, at - day)).toBeUndefined();
});

test("there are never more than forty", async () => {
  for (let i = 0; i < 42; i++) await keepCalibration(`key ${i}`, calibration, file);
  expect(JSON.parse(await readFile(file, "utf8")).entries).toHaveLength(40);
  expect(await cachedCalibration("key 1", file)).toBeUndefined();
  expect(await cachedCalibration("key 41", file)).toEqual(calibration);
});

test("a file that is not ours is as good as none, and a folder that cannot be written no error", async () => {
  await keepCalibration("a", calibration, file);
  const text = await readFile(file, "utf8");
  for (const broken of [
    "",
    "{",
    "[]",
    text.replace("0.000003", "-1"),
    text.replace("200000000000", "1e999"),
  ]) {
    await writeFile(file, broken);
    expect(await cachedCalibration("a", file)).toBeUndefined();
  }
  await writeFile(file, text.padEnd(2_000_000));
  expect(await cachedCalibration("a", file)).toBeUndefined();
  await keepCalibration("a", calibration, join(file, "below-a-file.json"));
});

test("stands in the user's cache folder", () => {
  expect(calibrationFile({ XDG_CACHE_HOME: "/c" })).toBe(join("/c", "attune", "calibration.json"));
  const ofHome = join("/home/me", ".cache", "attune", "calibration.json");
  for (const given of [{}, { XDG_CACHE_HOME: "" }, { XDG_CACHE_HOME: "not/absolute" }])
    expect(calibrationFile(given, () => "/home/me")).toBe(ofHome);
});

test("a user without a home keeps nothing", async () => {
  const noHome = () => {
    throw new Error("A system error occurred: uv_os_homedir returned ENOENT (no such file or directory)");
  };
  expect(calibrationFile({}, noHome)).toBeUndefined();
  expect(calibrationFile({}, () => "")).toBeUndefined();
});

// Windows has no pipes among its files.
test.skipIf(process.platform === "win32")("a pipe in the file's place is not waited for", async () => {
  execFileSync("mkfifo", [join(folder, "pipe")]);
  expect(await cachedCalibration("a", join(folder, "pipe"))).toBeUndefined();
});
