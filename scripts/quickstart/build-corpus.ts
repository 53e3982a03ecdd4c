/** Writes the pre-training corpus as dialogues, one file a source and side: `npx tsx scripts/quickstart/build-corpus.ts [--data FOLDER] [--without NAME …]`. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatCount, writeFileAtomic } from "../../src/util/index.ts";
import { readCorpusSources, splitHeldOut } from "./corpus-sources.ts";

const ROOT = join(import.meta.dirname, "..", "..");

const { values } = parseArgs({
  options: {
    data: { type: "string", default: join(ROOT, "..", "shared", "data") },
    out: { type: "string", default: join(ROOT, ".cache", "quickstart") },
    // CC BY-SA is left out: whether weights are adapted material under its share-alike term is not settled.
    without: { type: "string", multiple: true, default: ["sgd"] },
  },
});
for (const side of ["train", "held-out"]) await rm(join(values.out, side), { recursive: true, force: true });
for (const { name, conversations } of await readCorpusSources(values.data)) {
  if (values.without.includes(name)) continue;
  const { train, heldOut } = splitHeldOut(conversations);
  for (const [side, dialogues] of [
    ["train", train],
    ["held-out", heldOut],
  ] as const) {
    if (dialogues.length === 0) continue;
    const lines = dialogues.map((messages, i) => JSON.stringify({ id: `${name}-${side}-${i}`, messages }));
    await writeFileAtomic(join(values.out, side, `${name}.jsonl`), `${lines.join("\n")}\n`);
  }
  console.log(`${name}: ${formatCount(train.length)} conversations, ${formatCount(heldOut.length)} held out`);
}
