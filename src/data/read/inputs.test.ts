import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { expandInputs } from "./inputs.ts";
import { withFiles } from "./fixtures.contract.ts";

const FILES = {
  "a.jsonl": "",
  "b.CSV": "",
  "notes.txt": "",
  "sub/c.json.gz": "",
  "sub/deep/d.parquet": "",
  ".hidden.jsonl": "",
};

async function expanded(
  inputs: readonly string[],
  prepare?: (folder: string) => Promise<void>,
): Promise<string[][]> {
  return await withFiles(FILES, async (folder) => {
    await prepare?.(folder);
    const { files, ignored } = await expandInputs(
      inputs.map((input) => (input === "-" ? "-" : join(folder, input))),
    );
    const shorten = (path: string): string => path.replace(`${folder}/`, "");
    return [files.map(({ path, named }) => shorten(path) + (named ? "!" : "")), ignored.map(shorten)];
  });
}

describe("inputs", () => {
  test("a folder gives its files in a fixed order, and says which it ignores", async () => {
    expect(await expanded(["."])).toEqual([
      ["a.jsonl", "b.CSV", "sub/c.json.gz", "sub/deep/d.parquet"],
      ["notes.txt"],
    ]);
  });

  test("a named file is taken whatever its name, once", async () => {
    expect(await expanded(["notes.txt", "-", "a.jsonl", "a.jsonl"])).toEqual([
      ["notes.txt!", "-!", "a.jsonl!"],
      [],
    ]);
  });

  test.each([
    ["*.jsonl", ["a.jsonl"]],
    ["**/*.{gz,parquet}", ["sub/c.json.gz", "sub/deep/d.parquet"]],
    ["sub/*/?.parquet", ["sub/deep/d.parquet"]],
    ["[ab].*", ["a.jsonl", "b.CSV"]],
    ["[!a].*", ["b.CSV"]],
  ])("the pattern %s", async (pattern, files) => {
    expect((await expanded([pattern]))[0]).toEqual(files);
  });

  test("a folder that links to itself is walked once", async () => {
    const [files] = await expanded(
      ["sub"],
      async (folder) => await symlink(join(folder, "sub"), join(folder, "sub/loop")),
    );
    expect(files).toEqual(["sub/c.json.gz", "sub/deep/d.parquet"]);
  });

  test("what is not there is said", async () => {
    await expect(expanded(["none.jsonl"])).rejects.toThrow(/the input .*none\.jsonl does not exist/);
    await expect(expanded(["*.xml"])).rejects.toThrow(/no file matches .*\*\.xml/);
    await expect(expandInputs([])).rejects.toThrow("no input is named. Name a file, a folder, a glob or -.");
    await expect(withFiles({ "x.txt": "" }, async (folder) => await expandInputs([folder]))).rejects.toThrow(
      /holds no file of rows/,
    );
  });
});
