/** Documents from text files, rows of texts and dialogues; what is neither is named with its line. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { documentFiles, readDocuments } from "./documents.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attune-documents-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function texts(
  name: string,
  content: string | Buffer,
  fields?: Record<string, string>,
): Promise<string[]> {
  const path = join(folder, name);
  await writeFile(path, content);
  const found: string[] = [];
  for await (const document of readDocuments(path, { fields })) {
    found.push(
      document.kind === "text"
        ? document.text
        : document.example.messages.map(({ role, content: text }) => `${role}: ${text}`).join(" / "),
    );
  }
  return found;
}

test("a text file is one document, or several with a separator between them", async () => {
  expect(await texts("a.txt", "One.\n\nTwo.\r\n")).toEqual(["One.\n\nTwo."]);
  expect(await texts("b.txt", "One.\n<|endoftext|>\n\n<|endoftext|>\nTwo.\nThree.")).toEqual([
    "One.",
    "Two.\nThree.",
  ]);
  expect(await texts("c.txt.gz", gzipSync("您好\n"))).toEqual(["您好"]);
});

test("JSON lines with a text each, under its own name too", async () => {
  expect(await texts("a.jsonl", '{"text":"One"}\n\n{"text":"  ","id":4}\n{"text":"Two","id":5}\n')).toEqual([
    "One",
    "Two",
  ]);
  expect(await texts("b.jsonl", '{"body":"One"}\n', { text: "body" })).toEqual(["One"]);
});

test("dialogues in the layouts of training data", async () => {
  const row = {
    messages: [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello!" },
    ],
  };
  expect(await texts("c.jsonl", `${JSON.stringify(row)}\n`)).toEqual(["user: Hi / assistant: Hello!"]);
});

test("rows that go on from one another are one dialogue", async () => {
  const row = (...turns: string[]) =>
    JSON.stringify({
      context: turns
        .slice(0, -1)
        .map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content })),
      response: turns.at(-1),
    });
  const lines = [row("a", "b"), row("a", "b", "c", "d"), row("a", "x"), row("e", "f")];
  expect(await texts("rows.jsonl", `${lines.join("\n")}\n`)).toEqual([
    "user: a / assistant: b / user: c / assistant: d",
    "user: a / assistant: x",
    "user: e / assistant: f",
  ]);
});

test.each([
  [
    "bad.jsonl",
    '{"text":"One"}\n{"txt":"Two"}\n',
    /without text in its field "text".*belong into files of their own/s,
  ],
  ["no.jsonl", '{"text":"One"}\n{"text":\n', /not valid JSON/],
  ["zero.txt", "One\nTw\u0000o\n", /U\+0000/],
])("%s is refused", async (name, content, message) => {
  await expect(texts(name, content)).rejects.toThrow(message);
  await expect(texts(name, content)).rejects.toMatchObject({ at: expect.stringMatching(/:2/) as string });
});

test("folders are searched for texts and rows, in a fixed order", async () => {
  await writeFile(join(folder, "picture.png"), "x");
  const names = (await documentFiles([folder])).map((path) => path.slice(folder.length + 1));
  expect(names).toEqual(names.toSorted());
  expect(names).toContain("c.txt.gz");
  expect(names).toContain("c.jsonl");
  expect(names).not.toContain("picture.png");
  await expect(documentFiles([join(folder, "none")])).rejects.toThrow(/does not exist/);
});
