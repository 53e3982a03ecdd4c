/** Lines are read whole across chunks; a line beyond the limit is named and dropped. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type BoundedLine, readBoundedLines } from "./bounded-lines.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-lines-"));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

async function linesOf(content: string, longest = 1000): Promise<BoundedLine[]> {
  const path = join(folder, "lines.txt");
  await writeFile(path, content);
  const lines: BoundedLine[] = [];
  for await (const line of readBoundedLines(path, longest)) lines.push(line);
  return lines;
}

it("numbers lines, passes blank ones over, and says which one has no end", async () => {
  expect(await linesOf("\uFEFFone\r\n\n二\nthree")).toEqual([
    { line: 1, text: "one\r", torn: false },
    { line: 3, text: "二", torn: false },
    { line: 4, text: "three", torn: true },
  ]);
  expect(await linesOf("")).toEqual([]);
});

it("joins a line over chunk borders and drops one that is too long", async () => {
  const wide = "字".repeat(200_000);
  const found = await linesOf(`${wide}\n${"x".repeat(400_001)}\nend\n`, 400_000);
  expect(found).toEqual([
    { line: 1, text: wide, torn: false },
    { line: 2, torn: false },
    { line: 3, text: "end", torn: false },
  ]);
});

it("explains a file that is not there", async () => {
  const path = join(folder, "none.txt");
  await expect(readBoundedLines(path, 10).next()).rejects.toThrow(/does not exist|no such|not found/i);
});
