/** Configuration, runs on disk, the state of the machine. */
export { leafKeys, resolveConfig } from "./resolve.ts";
export type { ConfigSources, Resolved } from "./resolve.ts";
export { trainConfigSchema } from "./schema.ts";
export type { TrainConfig } from "./schema.ts";
export { parseYaml } from "./yaml-document.ts";
export type { PlacedDocument } from "./yaml-document.ts";
