/** The cache where the system has no symbolic links, the lock, and the rate of a download. */
import { lstat, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { repositoryCache } from "./cache.ts";
import { acquireLock } from "./lock.ts";
import { type DownloadProgress, progressMeter } from "./progress.ts";

const refuseLinks = vi.hoisted(() => ({ on: false }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return {
    ...real,
    symlink: (...parameters: Parameters<typeof real.symlink>) =>
      refuseLinks.on
        ? Promise.reject(Object.assign(new Error("not permitted"), { code: "EPERM" }))
        : real.symlink(...parameters),
  };
});

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-cache-"));
});
afterEach(async () => {
  refuseLinks.on = false;
  await rm(root, { recursive: true, force: true });
});

test.each([true, false])(
  "a snapshot holds the file, as a copy where links are refused (%s)",
  async (refused) => {
    refuseLinks.on = refused;
    const cache = repositoryCache(root, "a/b");
    const hash = "0".repeat(40);
    await mkdir(join(cache.folder, "blobs"), { recursive: true });
    await writeFile(cache.blob(hash), "content");
    await cache.link("c".repeat(40), "deep/er/file.txt", hash);
    const path = join(cache.snapshot("c".repeat(40)), "deep/er/file.txt");
    expect(await readFile(path, "utf8")).toBe("content");
    expect((await lstat(path)).isSymbolicLink()).toBe(!refused);
    expect(await readdir(join(path, ".."))).toEqual(["file.txt"]);
    // A second time is no error.
    await cache.link("c".repeat(40), "deep/er/file.txt", hash);
  },
);

test("a ref that is no commit is unknown", async () => {
  const cache = repositoryCache(root, "a/b");
  await cache.writeRef("refs/pr/1", "d".repeat(40));
  expect(await cache.readRef("refs/pr/1")).toBe("d".repeat(40));
  await writeFile(join(cache.folder, "refs", "main"), "../../x");
  expect(await cache.readRef("main")).toBeUndefined();
  expect(await cache.readRef("../../x")).toBeUndefined();
});

test("a lock is held by one at a time, and released only by its holder", async () => {
  const path = join(root, "locks", "x.lock");
  let inside = 0;
  let most = 0;
  let waits = 0;
  await Promise.all(
    Array.from({ length: 5 }, async () => {
      const release = await acquireLock(path, { poll: 2, onWait: () => waits++ });
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 5));
      inside -= 1;
      await release();
    }),
  );
  expect(most).toBe(1);
  // Each that waits is told once.
  expect(waits).toBeGreaterThan(0);
  expect(waits).toBeLessThan(5);
  const release = await acquireLock(path);
  await writeFile(path, "taken over");
  await release();
  expect(await readFile(path, "utf8")).toBe("taken over");
});

test("a waiting process can be cancelled", async () => {
  const path = join(root, "x.lock");
  const release = await acquireLock(path);
  const waiting = acquireLock(path, { signal: AbortSignal.timeout(20), poll: 5 });
  await expect(waiting).rejects.toThrow("waiting for another download was cancelled");
  await release();
});

test("the rate is that of the last seconds, and time left follows from it", () => {
  let now = 0;
  const seen: DownloadProgress[] = [];
  const meter = progressMeter(
    1000,
    100,
    (event) => event.type === "progress" && seen.push(event),
    () => now,
  );
  meter.add("f", 10);
  expect(seen.at(-1)).toMatchObject({
    bytesDone: 110,
    bytesTotal: 1000,
    bytesPerSecond: 0,
    secondsLeft: Number.POSITIVE_INFINITY,
  });
  for (now = 1; now <= 20; now++) meter.add("f", 10);
  expect(seen.at(-1)).toMatchObject({ bytesDone: 310, bytesPerSecond: 10, secondsLeft: 69 });
  for (; now <= 30; now++) meter.add("f", 50);
  expect(seen.at(-1)).toMatchObject({ bytesDone: 810, bytesPerSecond: 50 });
  const count = seen.length;
  for (let i = 0; i < 100; i++) meter.add("f", 1);
  expect(seen.length).toBe(count + 1);
  meter.finish("f");
  expect(seen.at(-1)!.bytesDone).toBe(910);
});
