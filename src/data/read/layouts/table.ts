/** Every layout, one line each: a new one is its own file and a line here. */
import { abcd } from "./abcd.ts";
import { alpaca } from "./alpaca.ts";
import { bitext } from "./bitext.ts";
import { crosswoz } from "./crosswoz.ts";
import type { Layout } from "./layout.ts";
import { messages } from "./messages.ts";
import { multidogo } from "./multidogo.ts";
import { native } from "./native.ts";
import { pairs } from "./pairs.ts";
import { sgd } from "./sgd.ts";
import { sharegpt } from "./sharegpt.ts";
import { taskmaster } from "./taskmaster.ts";

export const LAYOUTS = [
  native,
  messages,
  alpaca,
  sharegpt,
  pairs,
  bitext,
  sgd,
  crosswoz,
  abcd,
  taskmaster,
  multidogo,
] as const satisfies readonly Layout[];

export type LayoutName = (typeof LAYOUTS)[number]["name"];

export const LAYOUT_NAMES: readonly LayoutName[] = LAYOUTS.map((layout) => layout.name);
