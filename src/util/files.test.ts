/** Folders and files come into being, or a message says which rule stood in the way. */
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "./errors.ts";
import { explainWriteError, makeFolder, writeFileAtomic, writeFolderAtomic } from "./files.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "attune-files-"));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

describe("makeFolder", () => {
  test("makes what is missing on the way, again and from several sides at once", async () => {
    const path = join(root, "a", "b", "c");
    await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(root, "a", "b", "d"))]);
    await makeFolder(path);
    expect((await stat(path)).isDirectory()).toBe(true);
    expect((await stat(join(root, "a", "b", "d"))).isDirectory()).toBe(true);
    await makeFolder("/");
    await makeFolder(".");
  });

  test("a file on the way is in the way", async () => {
    await writeFile(join(root, "file"), "");
    for (const path of [join(root, "file"), join(root, "file", "below")]) {
      const error = await makeFolder(path).catch((caught: unknown) => explainWriteError(caught, path));
      expect((error as Error).message).toBe(
        `cannot write ${path}: a file or folder of that name is in the way. Move it away or choose another name.`,
      );
    }
  });
});

// Only Linux has a file system that says ENOENT to every new name; Node's own recursion never returns there.
describe.skipIf(process.platform !== "linux")("below /proc (Linux alone has it)", () => {
  const refused = "the file system of /proc takes no new files or folders. Choose another folder.";

  test("no folder comes into being, and that is said", async () => {
    for (const [path, named] of [
      ["/proc/attune", "/proc/attune"],
      ["/proc/attune/runs/first", "/proc/attune"],
    ] as const) {
      const error = await makeFolder(path).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toBe(`cannot write ${named}: ${refused}`);
    }
  });

  test("nor a file, nor a folder that is written as a whole", async () => {
    await expect(writeFileAtomic("/proc/attune.html", "")).rejects.toThrow(
      `cannot write /proc/attune.html: ${refused}`,
    );
    await expect(writeFolderAtomic("/proc/attune", async () => {})).rejects.toThrow(refused);
  });
});

test("a file is replaced as a whole", async () => {
  const path = join(root, "new", "file.txt");
  await writeFileAtomic(path, "one");
  await writeFileAtomic(path, "two");
  expect(await readFile(path, "utf8")).toBe("two");
});
