/** report.html: what a data set holds and what was done to it, for people who do not read JSON. */
export { renderReport } from "./render.ts";
