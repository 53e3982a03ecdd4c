/** What the sections are put together from: tiles, tables, notes, and the words for evidence that is not there. */
import { type Markup, NOTHING, markup } from "../../util/html/index.ts";
import type { ReportFacts, Text } from "./types.ts";
import { both, bothOf, code } from "./words.ts";

export interface Section {
  readonly id: string;
  readonly title: Text;
  readonly lead?: Markup;
  readonly body: Markup;
  /** What made its figures. */
  readonly commands: readonly string[];
}

/** Draws a section out of what is known. */
export type SectionMaker = (facts: ReportFacts) => Section;

export function tile(value: string, text: Markup, tone: "" | "good" | "bad" | "warn" = ""): Markup {
  return markup`<li class="tile ${tone}"><b translate="no">${value}</b><span>${text}</span></li>`;
}

export const tiles = (list: readonly Markup[]): Markup => markup`<ul class="tiles">${list}</ul>`;

export interface Column {
  readonly head: Markup;
  /** Numbers stand at the right. */
  readonly number?: boolean;
}

export function table(columns: readonly Column[], rows: readonly (readonly Markup[])[]): Markup {
  const cls = (column: Column | undefined): string => (column?.number === true ? "n" : "");
  const head = columns.map((column) => markup`<th scope="col" class="${cls(column)}">${column.head}</th>`);
  const body = rows.map((cells) => {
    const made = cells.map((cell, i) =>
      i === 0 ? markup`<th scope="row">${cell}</th>` : markup`<td class="${cls(columns[i])}">${cell}</td>`,
    );
    return markup`<tr>${made}</tr>`;
  });
  return markup`<div class="scroll" tabindex="0"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

export const card = (title: Markup, body: Markup, note?: Markup): Markup =>
  markup`<div class="card"><h3>${title}</h3>${note === undefined ? NOTHING : markup`<p class="note">${note}</p>`}${body}</div>`;

/** Evidence that is not there yet: why, and the command that makes it. */
export function missingNote(reason: Text, command: string): Markup {
  return markup`<div class="missing"><p>${bothOf(reason)}</p><p>${both("This makes it:", "用下面的命令生成：")} ${code(command)}</p></div>`;
}

export const warning = (text: Markup, advice?: Markup): Markup =>
  markup`<li><strong>${text}</strong>${advice === undefined ? NOTHING : markup`<span>${advice}</span>`}</li>`;

export const warningList = (list: readonly Markup[]): Markup =>
  list.length === 0 ? NOTHING : markup`<ul class="warnings">${list}</ul>`;

export function moreDetails(summary: Markup, body: Markup): Markup {
  return markup`<details><summary>${summary}</summary>${body}</details>`;
}

/** Term and explanation, one pair a row. */
export function definitions(rows: readonly (readonly [term: Markup, text: Markup])[]): Markup {
  const made = rows.map(([term, text]) => markup`<dt>${term}</dt><dd>${text}</dd>`);
  return markup`<dl class="terms">${made}</dl>`;
}
