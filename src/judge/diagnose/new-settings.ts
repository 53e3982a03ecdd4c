/** A remedy less what the run has set already: asking for that again would change nothing. */
import { isDeepStrictEqual } from "node:util";
import { parse as parseYamlValue } from "yaml";
import type { Remedy, RunSettings } from "./types.ts";

export function newSettings(remedy: Remedy, settings: RunSettings): Remedy {
  const set = remedy.set.filter((pair) => {
    const at = pair.indexOf("=");
    return !isDeepStrictEqual(parseYamlValue(pair.slice(at + 1)), valueOf(settings, pair.slice(0, at)));
  });
  if (set.length > 0 || remedy.set.length === 0) return { ...remedy, set };
  const there = remedy.set.join(", ");
  return {
    ...remedy,
    set,
    text: {
      en: `${remedy.text.en} The run has ${there} already: what is left to change is the data${remedy.commands === undefined ? "" : ", with the commands here"}.`,
      zh: `${remedy.text.zh}该训练已使用 ${there}：剩下可改的是数据${remedy.commands === undefined ? "" : "，见所列命令"}。`,
    },
  };
}

function valueOf(settings: RunSettings, key: string): unknown {
  return key
    .split(".")
    .reduce<unknown>(
      (part, name) =>
        typeof part === "object" && part !== null && Object.hasOwn(part, name)
          ? (part as Record<string, unknown>)[name]
          : undefined,
      settings,
    );
}
