/** The slow reference interpreter. */
export { narrow, widen } from "./array.ts";
export type { Wide } from "./array.ts";
export { evaluateNode, interpret } from "./interpret.ts";
export { referenceRuntime } from "./runtime.ts";
