/** Every layout, one line each. */
import type { Layout } from "./layout.ts";
import { messages } from "./messages.ts";
import { native } from "./native.ts";

export const LAYOUTS = [native, messages] as const satisfies readonly Layout[];

export type LayoutName = (typeof LAYOUTS)[number]["name"];

export const LAYOUT_NAMES: readonly LayoutName[] = LAYOUTS.map((layout) => layout.name);
