/** The general texts that ship with Attune: what a model should still be able to read after fine-tuning. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { GeneralText } from "./types.ts";

const files = { english: "english.txt", chinese: "chinese.txt" } as const;

/** Paragraphs by language, from assets/general-text. */
export async function generalTexts(): Promise<readonly GeneralText[]> {
  return Promise.all(
    Object.entries(files).map(async ([name, file]): Promise<GeneralText> => {
      const path = fileURLToPath(new URL(`../../../assets/general-text/${file}`, import.meta.url));
      const text = await readFile(path, "utf8");
      return {
        name,
        texts: text
          .split(/\n{2,}/)
          .map((part) => part.trim().replaceAll("\n", " "))
          .filter((part) => part !== ""),
      };
    }),
  );
}
