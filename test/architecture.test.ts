/** The rooms of ARCHITECTURE.md: who may import whom, small public doors, and a few budgets. */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");
const source = join(root, "src");

interface Import {
  readonly file: string;
  readonly target: string;
}

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => statSync(join(source, name)).isFile());
/** What ships: no tests and none of their helpers. */
const product = files.filter(
  (name) => !/\.(test|contract|testing|fixture)\.ts$/.test(name) && !name.endsWith(".test-d.ts"),
);

function importsOf(file: string): { relative: Import[]; packages: string[] } {
  const text = readFileSync(join(source, file), "utf8");
  const names = [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]!);
  return {
    relative: names
      .filter((name) => name.startsWith("."))
      .map((name) => ({
        file,
        target: relative(source, resolve(source, dirname(file), name)).replaceAll("\\", "/"),
      })),
    packages: names.filter((name) => !name.startsWith(".") && !name.startsWith("node:")),
  };
}

/** A room is the deepest of these folders that a file stands in. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  util: [],
  "compute/tensor": ["util"],
  "compute/graph": ["util", "compute/tensor"],
  "compute/autodiff": ["util", "compute/tensor", "compute/graph"],
  "compute/onnx": ["util", "compute/tensor", "compute/graph"],
  "compute/optim": ["util", "compute/tensor", "compute/graph"],
  "compute/runtime": ["util", "compute/tensor", "compute/graph", "compute/onnx"],
  compute: ["util", "compute/*"],
  "model/text": ["util"],
  "model/weights": ["util", "compute/tensor"],
  "model/nn": ["util", "compute/*"],
  "model/decoder": ["util", "compute/*", "model/nn", "model/weights"],
  "model/hub": ["util", "model/decoder", "model/weights"],
  "model/generate": ["util", "compute/*", "model/nn", "model/decoder", "model/text", "model/weights"],
  model: ["util", "compute/*", "model/*"],
  data: ["util", "model/text"],
  train: ["util", "compute/*", "model/*", "model", "data"],
  judge: ["util", "compute/*", "model/*", "model", "data"],
  project: ["util", "compute/*", "compute", "model/*", "model", "data", "train", "judge"],
  cli: ["util", "compute/*", "compute", "model/*", "model", "data", "train", "judge", "project"],
};

function roomOf(path: string): string {
  const names = Object.keys(rooms).filter((room) => path === room || path.startsWith(`${room}/`));
  const room = names.sort((a, b) => b.length - a.length)[0];
  if (room === undefined) throw new Error(`${path} stands in no room`);
  return room;
}

const allows = (room: string, other: string): boolean =>
  room === other ||
  rooms[room]!.some((rule) => rule === other || (rule.endsWith("/*") && other.startsWith(rule.slice(0, -1))));

describe("the rooms", () => {
  it("import only what they may", () => {
    const broken = product.flatMap((file) =>
      importsOf(file).relative.flatMap(({ target }) => {
        const [from, to] = [roomOf(file), roomOf(target)];
        return allows(from, to) ? [] : [`${file} imports ${target}: ${from} may not import ${to}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  it("are entered by their index.ts", () => {
    const broken = product.flatMap((file) =>
      importsOf(file).relative.flatMap(({ target }) => {
        const [from, to] = [roomOf(file), roomOf(target)];
        if (from === to || target === "data/record.ts" || target.endsWith("/index.ts")) return [];
        return [`${file} reaches past the door of ${to}: ${target}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  it("leave onnxruntime to compute/runtime, and printing to cli/", () => {
    const importers = product.filter((file) =>
      importsOf(file).packages.some((name) => name.startsWith("onnxruntime")),
    );
    expect(importers.every((file) => file.startsWith("compute/runtime/"))).toBe(true);
    const printers = product.filter((file) =>
      /\bconsole\.|process\.(stdout|stderr)\.write/.test(readFileSync(join(source, file), "utf8")),
    );
    expect(printers.filter((file) => !file.startsWith("cli/"))).toEqual([]);
  });

  it("make folders by makeFolder, as Node's own recursion never ends below /proc", () => {
    const makers = product.filter((file) =>
      /mkdir(Sync)?\([^;]*recursive: true/.test(readFileSync(join(source, file), "utf8")),
    );
    expect(makers).toEqual([]);
  });
});

describe("the budgets", () => {
  it("keep files to 400 lines", () => {
    const long = product.filter((file) => readFileSync(join(source, file), "utf8").split("\n").length > 401);
    expect(long).toEqual([]);
  });

  it("keep runtime dependencies to 14", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      dependencies: object;
    };
    expect(Object.keys(dependencies).length).toBeLessThanOrEqual(14);
  });

  it("open every file with a sentence that says what it is for", () => {
    const silent = product.filter((file) => !readFileSync(join(source, file), "utf8").startsWith("/**"));
    expect(silent).toEqual([]);
  });
});
