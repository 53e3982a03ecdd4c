/** What the documents show must work: commands, scripts, examples, links. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { resolveConfig, trainConfigSchema } from "../src/project/index.ts";

const root = join(import.meta.dirname, "..");
const documents = ["README.md", "README.zh.md", "CONTRIBUTING.md", "ARCHITECTURE.md"];
const scripts = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: object }).scripts;

describe.each(documents)("%s", (document) => {
  const text = readFileSync(join(root, document), "utf8");

  it("names only scripts and commands that exist", () => {
    for (const [, script] of text.matchAll(/npm run ([\w:-]+)/g))
      expect(Object.keys(scripts)).toContain(script);
    for (const [, command] of text.matchAll(/npx attune (\w+)/g))
      expect(Object.keys(commands)).toContain(command);
  });

  it("links only to files that exist", () => {
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      expect(existsSync(join(root, target!)), target).toBe(true);
    }
  });
});

describe("the examples", () => {
  it.each(readdirSync(join(root, "examples")))("%s is a valid configuration", async (name) => {
    const { config } = await resolveConfig(trainConfigSchema, { file: join(root, "examples", name) });
    expect(existsSync(join(root, config.data.train))).toBe(true);
  });
});

describe.each(Object.keys(commands))("attune %s", (name) => {
  it("loads and says what it does", async () => {
    const command = await commands[name]!.load();
    expect(command.name()).toBe(name);
    expect(command.helpInformation()).toContain("--help");
    expect(command.description()).not.toBe("");
  });
});
