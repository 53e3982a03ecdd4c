#!/usr/bin/env node
// Starts the built program; in a checkout that has not been built, the sources by tsx.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const sources = new URL("../src/cli/main.ts", import.meta.url);
const built = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(fileURLToPath(sources))) {
  const { register } = await import("tsx/esm/api");
  register();
  await import(sources.href);
} else {
  await import(built.href);
}
