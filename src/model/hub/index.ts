/** Where models come from: a folder, a .gguf file, or a hub with resume, mirrors and the cache of huggingface_hub. */
export { fetchModel } from "./fetch-model.ts";
export type { FetchOptions, FetchedModel } from "./fetch-model.ts";
export { openModel } from "./open-model.ts";
export type { OpenModel, TokenizerFiles } from "./open-model.ts";
export type { DownloadProgress, HubEvent } from "./progress.ts";
export { isSafePath, parseHubReference, resolveReference } from "./reference.ts";
export type { HubReference, ModelReference } from "./reference.ts";
export { hubSettings } from "./settings.ts";
export type { HubSettings } from "./settings.ts";
