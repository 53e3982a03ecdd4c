/** Examples of a rule: the text around what was found, with the match marked. */
import type { Manifest, RuleSection } from "../manifest.ts";
import { type Markup, NOTHING, markup } from "./html.ts";

type RuleExample = RuleSection["examples"][number];

export function exampleList(examples: readonly RuleExample[]): Markup {
  if (examples.length === 0) return NOTHING;
  return markup`<ul class="examples">
    ${examples.map(exampleItem)}
  </ul>`;
}

function exampleItem(example: RuleExample): Markup {
  const { text, start, end } = example;
  const before = text.slice(0, start);
  const match = text.slice(start, end);
  const after = text.slice(end);
  const marked = match === "" ? NOTHING : markup`<mark>${match}</mark>`;
  const shown = text === "" ? markup`<em>(empty)</em>` : markup`${before}${marked}${after}`;
  return markup`<li>
    <span class="meta">${humanName(example.reason)} · ${example.role} · ${placeName(example.source)}</span
    ><bdi class="text">${shown}</bdi>
  </li>`;
}

export function placeName(place: Manifest["rules"][number]["examples"][number]["source"]): string {
  const file = place.file.split(/[/\\]/).at(-1)!;
  if (place.line !== undefined) return `${file}:${place.line}`;
  return place.row === undefined ? file : `${file}, row ${place.row}`;
}

/** "near-duplicate" → "Near duplicate". */
export function humanName(name: string): string {
  const words = name.replaceAll(/[-_]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
