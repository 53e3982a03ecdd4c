/** Which kept record each duplicate repeats: places in typed arrays, the largest clusters for the report. */
import { excerpt } from "../../util/index.ts";
import type { DialogueRecord, SourcePlace } from "../record.ts";

export interface Cluster {
  /** Records in it, the kept one included. */
  readonly size: number;
  readonly kept: SourcePlace;
  /** Text of the first duplicate. */
  readonly text: string;
  /** Places of the first duplicates. */
  readonly duplicates: readonly SourcePlace[];
}

export interface ClusterReport {
  readonly clusters: number;
  readonly largest: readonly Cluster[];
}

export interface ClusterBook {
  /** Files the place of a kept record under the next ordinal and returns the ordinal. */
  keep(record: DialogueRecord): number;
  place(ordinal: number): SourcePlace;
  add(ordinal: number, duplicate: DialogueRecord): void;
  report(): ClusterReport;
}

const MAX_SHOWN = 20;
const MAX_DUPLICATES = 5;
/** Clusters whose text is held; beyond it the smaller half is forgotten (and only counted). */
const MAX_HELD = 2_000;

interface Held {
  size: number;
  readonly text: string;
  readonly duplicates: SourcePlace[];
}

export function clusterBook(): ClusterBook {
  const files: string[] = [];
  const fileIndex = new Map<string, number>();
  let fileOf = new Uint32Array(1_024);
  /** Line, or 2³¹ + row. */
  let lineOf = new Uint32Array(1_024);
  /** Duplicates of each kept record. */
  let repeats = new Uint32Array(1_024);
  let kept = 0;
  let clusters = 0;
  let held = new Map<number, Held>();

  const place = (ordinal: number): SourcePlace => {
    const file = files[fileOf[ordinal]!] ?? "";
    const line = lineOf[ordinal]!;
    if (line === 0) return { file };
    return line >= 0x80000000 ? { file, row: line - 0x80000000 } : { file, line };
  };

  return {
    keep(record) {
      if (kept === fileOf.length) {
        fileOf = doubled(fileOf);
        lineOf = doubled(lineOf);
        repeats = doubled(repeats);
      }
      const { file, line, row } = record.source;
      let index = fileIndex.get(file);
      if (index === undefined) {
        index = files.push(file) - 1;
        fileIndex.set(file, index);
      }
      fileOf[kept] = index;
      lineOf[kept] = line ?? (row === undefined ? 0 : 0x80000000 + row);
      kept += 1;
      return kept - 1;
    },
    place,
    add(ordinal, duplicate) {
      repeats[ordinal]! += 1;
      if (repeats[ordinal] === 1) clusters += 1;
      let cluster = held.get(ordinal);
      if (cluster === undefined) {
        if (held.size >= MAX_HELD) held = largerHalf(held);
        cluster = { size: 0, text: textOf(duplicate), duplicates: [] };
        held.set(ordinal, cluster);
      }
      cluster.size = repeats[ordinal]!;
      if (cluster.duplicates.length < MAX_DUPLICATES) cluster.duplicates.push(duplicate.source);
    },
    report() {
      const largest = [...held]
        .sort(([a, left], [b, right]) => right.size - left.size || a - b)
        .slice(0, MAX_SHOWN)
        .map(([ordinal, cluster]) => ({
          size: cluster.size + 1,
          kept: place(ordinal),
          text: cluster.text,
          duplicates: cluster.duplicates,
        }));
      return { clusters, largest };
    },
  };
}

function largerHalf(held: ReadonlyMap<number, Held>): Map<number, Held> {
  return new Map(
    [...held].sort(([a, left], [b, right]) => right.size - left.size || a - b).slice(0, MAX_HELD / 2),
  );
}

function doubled(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}

/** The last exchange of a record, for people. */
function textOf(record: DialogueRecord): string {
  return record.messages
    .slice(-2)
    .map((message) => `${message.role}: ${excerpt(message.content.slice(0, 400), 160)}`)
    .join("\n");
}

export function placeText(place: SourcePlace): string {
  if (place.line !== undefined) return `${place.file}:${place.line}`;
  return place.row === undefined ? place.file : `${place.file} row ${place.row}`;
}
