/** Conversations of validation and test held as sets of hashes, so that nothing like them stays in another split. */
import { type Example } from "../../model/text/index.ts";
import { ConversationGatherer, NEAR_THRESHOLD, lineToExample } from "../dataset/index.ts";
import { Groups, NearIndex } from "../shape/index.ts";
import type { Intake } from "./intake.ts";
import type { Spool } from "./spool.ts";

interface Gathered {
  readonly conversation: number;
  readonly set: Uint32Array;
  readonly keys: readonly number[];
}

export class HeldOut {
  readonly #owners: readonly number[];
  readonly #byKey: ReadonlyMap<number, number>;
  readonly #index: NearIndex;
  /** Conversations that are the same or nearly, joined where one of the two stands outside train. */
  readonly groups: Groups;

  private constructor(
    owners: readonly number[],
    byKey: ReadonlyMap<number, number>,
    index: NearIndex,
    groups: Groups,
  ) {
    this.#owners = owners;
    this.#byKey = byKey;
    this.#index = index;
    this.groups = groups;
  }

  /** Compares every conversation outside train with every other one. */
  static async compare(
    intake: Intake,
    shingles: Spool,
    splitOf: Uint8Array,
    onPiece: () => void,
  ): Promise<HeldOut> {
    const pieces = intake.pieceConversations.view();
    const order = new Uint32Array(pieces.length);
    for (let piece = 0; piece < order.length; piece++) order[piece] = piece;
    const groups = new Groups(intake.conversations.list.length);
    const owners: number[] = [];
    const sets: Uint32Array[] = [];
    const byKey = new Map<number, number>();
    const isHeld = (piece: number): boolean => splitOf[pieces[piece]!] !== 0;
    for await (const { conversation, set, keys } of gathered(
      intake,
      shingles,
      order.filter(isHeld),
      onPiece,
    )) {
      for (const key of keys) {
        const twin = byKey.get(key);
        if (twin === undefined) byKey.set(key, conversation);
        else groups.join(twin, conversation);
      }
      owners.push(conversation);
      sets.push(set.slice());
    }
    const index = new NearIndex(sets, NEAR_THRESHOLD);
    const all = new HeldOut(owners, byKey, index, groups);
    for (const [position, set] of sets.entries()) all.#join(owners[position]!, set, []);
    const train = order.filter((piece) => !isHeld(piece));
    for await (const { conversation, set, keys } of gathered(intake, shingles, train, onPiece)) {
      all.#join(conversation, set, keys);
    }
    return all;
  }

  #join(conversation: number, set: Uint32Array, keys: readonly number[]): void {
    for (const twin of this.like(set, keys)) this.groups.join(conversation, twin);
  }

  /** Conversations that were outside train and are like this one. */
  like(set: Uint32Array, keys: readonly number[]): Set<number> {
    const found = new Set<number>();
    for (const key of keys) {
      const twin = this.#byKey.get(key);
      if (twin !== undefined) found.add(twin);
    }
    this.#index.search(set, (other) => found.add(this.#owners[other]!));
    return found;
  }

  /**
   * Conversations of train that lost rows are shorter than they were, and a shorter one can be like another that the
   * whole was not. Returns the conversations outside train that are like one of those now.
   */
  async likeShortened(rows: Spool, rowsOfShortened: Uint32Array, splitOf: Uint8Array): Promise<Set<number>> {
    const found = new Set<number>();
    const gatherer = new ConversationGatherer();
    const look = (done: ReturnType<ConversationGatherer["end"]>): void => {
      if (done === undefined) return;
      for (const twin of this.like(done.set, [done.key])) if (splitOf[twin] !== 0) found.add(twin);
    };
    for await (const bytes of rows.read(rowsOfShortened)) {
      const example: Example = lineToExample(JSON.parse(bytes.toString("utf8")), "spool");
      look(gatherer.add(example));
    }
    look(gatherer.end());
    return found;
  }
}

/** Conversations of the selected pieces; the pieces of one conversation that lay apart are put together. */
async function* gathered(
  intake: Intake,
  shingles: Spool,
  selected: Uint32Array,
  onPiece: () => void,
): AsyncGenerator<Gathered> {
  const pieces = intake.pieceConversations.view();
  const keys = intake.pieceKeys.view();
  const times = new Uint8Array(intake.conversations.list.length);
  for (const piece of selected) times[pieces[piece]!] = Math.min(2, times[pieces[piece]!]! + 1);
  const waiting = new Map<number, { readonly sets: Uint32Array[]; readonly keys: number[] }>();
  let position = 0;
  for await (const bytes of shingles.read(selected)) {
    onPiece();
    const piece = selected[position++]!;
    const conversation = pieces[piece]!;
    const set = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    if (times[conversation] === 1) {
      yield { conversation, set, keys: [keys[piece]!] };
      continue;
    }
    let parts = waiting.get(conversation);
    if (parts === undefined) waiting.set(conversation, (parts = { sets: [], keys: [] }));
    parts.sets.push(set.slice());
    parts.keys.push(keys[piece]!);
  }
  for (const [conversation, parts] of waiting)
    yield { conversation, set: union(parts.sets), keys: parts.keys };
}

function union(sets: readonly Uint32Array[]): Uint32Array {
  const all = new Set<number>();
  for (const set of sets) for (const token of set) all.add(token);
  return Uint32Array.from(all).sort();
}
