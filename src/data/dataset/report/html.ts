/** HTML from text that may be anything: the kit that all reports share. */
export { NOTHING, escapeHtml, markup } from "../../../util/html/index.ts";
export type { Markup } from "../../../util/html/index.ts";
