/** The version of this package, as its package.json says. */
import { readFileSync } from "node:fs";

let known: string | undefined;

export function packageVersion(): string {
  // As far from this file as from the one that is built of it.
  const manifest = new URL("../../package.json", import.meta.url);
  known ??= (JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string }).version;
  return known;
}
