/** A study that is open for rating: hands out replies, takes ratings, and answers only when they are on disk. */
import { createHash, randomBytes } from "node:crypto";
import { UserError } from "../../util/index.ts";
import { openLog } from "./log.ts";
import { type PlanOptions, itemKey, planItems } from "./plan.ts";
import type { Prediction } from "./prediction.ts";
import {
  type ItemRecord,
  type LogRecord,
  type Mark,
  type Rating,
  type Scores,
  type Submission,
  raterId,
} from "./rating.ts";
import {
  type RaterState,
  type StudyState,
  apply,
  raterState,
  ratingsOf,
  replay,
  sameVerdict,
} from "./state.ts";

/** One browser tab of one rater; the tab's name is its own random choice. */
export interface Seat {
  readonly rater: string;
  readonly tab: string;
}

/** What a rater may see of an item: not its system, intent or reference. */
export interface Assignment {
  readonly key: string;
  readonly revision: number;
  readonly context: Prediction["context"];
  readonly reply: string;
  /** After undo: what was said before. */
  readonly previous?: Scores & { readonly comment: string };
}

export interface SeatState {
  readonly assignment?: Assignment;
  /** Replies this rater has done, and those still open to them. */
  readonly done: number;
  readonly left: number;
  /** Of those left, replies that others have before them just now. */
  readonly elsewhere: number;
  /** What undo would take back. */
  readonly last?: { readonly key: string; readonly revision: number };
}

export type Outcome =
  | { readonly saved: true; readonly repeated: boolean }
  /** Not written: why, and nothing was changed. */
  | { readonly saved: false; readonly reason: "stale" | "other-verdict" | "unknown-item" };

export interface Study {
  /** The reply before this seat; the same until it is rated. */
  seat(seat: Seat): SeatState;
  /** Writes a rating. Sent again it is answered, not written again. Rejects when the disk refuses it. */
  rate(seat: Seat, submission: Submission): Promise<Outcome>;
  /** Sets an item aside that this rater cannot judge. */
  skip(seat: Seat, mark: Mark): Promise<Outcome>;
  /** Takes back the rating `mark` names and puts its item before this seat again. */
  undo(seat: Seat, mark: Mark): Promise<Outcome>;
  /** The ratings that stand. */
  ratings(): readonly Rating[];
  readonly items: readonly ItemRecord[];
  /** Bytes of a rating that was cut short by a crash before it was acknowledged, and removed at start. */
  readonly tornBytes: number;
  close(): Promise<void>;
}

export interface StudyOptions extends PlanOptions {
  /** Milliseconds after which a reply that a tab holds is given to others; default 10 minutes. */
  readonly leaseMs?: number;
  /** Milliseconds since 1970, for tests. */
  readonly now?: () => number;
}

interface Lease {
  readonly key: string;
  until: number;
  /** Put there by undo: shown even if the item needs no more raters. */
  readonly again?: Scores & { readonly comment: string };
}

const mostSeats = 2000;
// A tab that said nothing for so long may be closed.
const tabIdleMs = 20_000;

/** Opens the ratings file `path`, or begins it from `predictions`. */
export async function openStudy(
  path: string,
  predictions: readonly Prediction[],
  options: StudyOptions = {},
): Promise<Study> {
  const { log, records, tornBytes } = await openLog(path);
  try {
    const state = replay(records, path);
    if (state.study === undefined) {
      if (state.items.size > 0)
        throw new UserError(`${path} does not begin with a study`, { next: "Choose another file." });
      const salt = randomBytes(16).toString("hex");
      const at = new Date((options.now ?? Date.now)()).toISOString();
      const opening: LogRecord[] = [
        { type: "study", version: 1, at, salt, seed: options.seed ?? 0 },
        ...planItems(predictions, salt, options),
      ];
      await log.append(opening);
      for (const record of opening) applyOrThrow(state, record);
    } else {
      requireSamePredictions(path, state, predictions);
    }
    return running(state, log, tornBytes, options);
  } catch (error) {
    await log.close();
    throw error;
  }
}

function requireSamePredictions(path: string, state: StudyState, predictions: readonly Prediction[]): void {
  const known = new Map(
    predictions.map((prediction) => [itemKey(state.study!.salt, prediction), prediction]),
  );
  for (const item of state.items.values()) {
    if (known.get(item.key)?.prediction !== item.prediction) {
      throw new UserError(
        `${path} belongs to other predictions: "${item.system}" replies otherwise to "${item.id}"`,
        {
          next: "Name the predictions it was begun with, or another file with --ratings.",
        },
      );
    }
  }
}

function applyOrThrow(state: StudyState, record: LogRecord): void {
  const problem = apply(state, record);
  if (problem !== undefined) throw new Error(problem);
}

function running(
  state: StudyState,
  log: Awaited<ReturnType<typeof openLog>>["log"],
  tornBytes: number,
  options: StudyOptions,
): Study {
  const now = options.now ?? Date.now;
  const leaseMs = options.leaseMs ?? 600_000;
  const items = [...state.items.values()];
  const leases = new Map<string, Lease & Seat>();
  const writing = new Map<string, Promise<void>>();
  const seatName = (seat: Seat): string => JSON.stringify([raterId(seat.rater), seat.tab]);
  const isSame = (a: Seat, b: Seat): boolean => raterId(a.rater) === raterId(b.rater);

  const tidyLeases = (): void => {
    for (const [name, lease] of leases) if (lease.until <= now()) leases.delete(name);
    while (leases.size > mostSeats) leases.delete(leases.keys().next().value!);
  };

  /** Ratings that each item has. A skip fills no place. */
  const countRatings = (): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const rater of state.raters.values()) {
      for (const [key, { record }] of rater.verdicts) {
        if (record.type === "rating") counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    return counts;
  };

  /** At last, what another tab of the same rater holds and may have been closed with; a rating from either tab counts once. */
  const abandoned = (seat: Seat, open: readonly ItemRecord[]): Lease | undefined => {
    const stillOpen = new Set(open.map((item) => item.key));
    for (const [name, lease] of leases) {
      const idle = now() - (lease.until - leaseMs);
      if (name === seatName(seat) || !isSame(lease, seat) || idle < tabIdleMs || !stillOpen.has(lease.key))
        continue;
      leases.delete(name);
      const { key, again } = lease;
      return { key, until: now() + leaseMs, ...(again === undefined ? {} : { again }) };
    }
    return undefined;
  };

  const choose = (seat: Seat): { lease: Lease | undefined; left: number; elsewhere: number } => {
    tidyLeases();
    const rater = raterState(state, seat.rater);
    const name = seatName(seat);
    const own = leases.get(name);
    const rated = countRatings();
    const held = new Map<string, number>();
    const ownTabs = new Set<string>();
    for (const [other, lease] of leases) {
      if (other === name) continue;
      if (isSame(lease, seat)) ownTabs.add(lease.key);
      else held.set(lease.key, (held.get(lease.key) ?? 0) + 1);
    }
    const open = items.filter(
      (item) =>
        !rater.verdicts.has(item.key) && ((rated.get(item.key) ?? 0) < item.target || own?.key === item.key),
    );
    const free = open.filter(
      (item) =>
        !ownTabs.has(item.key) && (rated.get(item.key) ?? 0) + (held.get(item.key) ?? 0) < item.target,
    );
    const kept = own !== undefined && !rater.verdicts.has(own.key) ? own : undefined;
    if (kept !== undefined) kept.until = now() + leaseMs;
    const next = kept === undefined ? preferred(free, items, rater, rated, held) : undefined;
    const lease =
      kept ?? (next === undefined ? abandoned(seat, open) : { key: next.key, until: now() + leaseMs });
    if (lease === undefined) leases.delete(name);
    else leases.set(name, { ...lease, ...seat });
    return { lease, left: open.length, elsewhere: open.length - free.length };
  };

  const write = async (seat: Seat, mark: Mark, record: LogRecord): Promise<Outcome> => {
    const pair = JSON.stringify([raterId(seat.rater), mark.key]);
    // A second request for the same pair waits for the first: it must see what that one left behind.
    while (writing.has(pair)) await writing.get(pair)!.catch(() => {});
    const rater = raterState(state, seat.rater);
    if (!state.items.has(mark.key)) return { saved: false, reason: "unknown-item" };
    const verdict = rater.verdicts.get(mark.key);
    const revision = rater.revisions.get(mark.key) ?? 0;
    if (record.type === "undo") {
      if (mark.revision === revision - 1) return { saved: true, repeated: true };
      if (mark.revision !== revision || verdict === undefined) return { saved: false, reason: "stale" };
    } else {
      if (mark.revision !== revision) return { saved: false, reason: "stale" };
      if (verdict !== undefined) {
        return sameVerdict(verdict, mark)
          ? { saved: true, repeated: true }
          : { saved: false, reason: "other-verdict" };
      }
    }
    const written = log.append([record]);
    writing.set(pair, written);
    try {
      await written;
      applyOrThrow(state, record);
    } finally {
      writing.delete(pair);
    }
    return { saved: true, repeated: false };
  };

  const stamp = (): string => new Date(now()).toISOString();
  return {
    items,
    tornBytes,
    ratings: () => ratingsOf(state),
    seat: (seat) => {
      const { lease, left, elsewhere } = choose(seat);
      const rater = raterState(state, seat.rater);
      const last = [...rater.verdicts.values()].at(-1)?.record;
      const item = lease === undefined ? undefined : state.items.get(lease.key)!;
      return {
        done: rater.verdicts.size,
        left,
        elsewhere,
        ...(last === undefined ? {} : { last: { key: last.key, revision: last.revision } }),
        ...(item === undefined
          ? {}
          : {
              assignment: {
                key: item.key,
                revision: rater.revisions.get(item.key) ?? 0,
                context: item.context,
                reply: item.prediction,
                ...(lease?.again === undefined ? {} : { previous: lease.again }),
              },
            }),
      };
    },
    rate: async (seat, submission) =>
      write(seat, submission, { type: "rating", at: stamp(), ...submission, rater: seat.rater }),
    skip: async (seat, mark) => write(seat, mark, { type: "skip", at: stamp(), ...mark, rater: seat.rater }),
    undo: async (seat, mark) => {
      const before = raterState(state, seat.rater).verdicts.get(mark.key)?.record;
      const outcome = await write(seat, mark, { type: "undo", at: stamp(), ...mark, rater: seat.rater });
      if (outcome.saved && !outcome.repeated) {
        const again =
          before?.type === "rating"
            ? {
                fluency: before.fluency,
                relevance: before.relevance,
                safety: before.safety,
                comment: before.comment ?? "",
              }
            : undefined;
        const lease = { key: mark.key, until: now() + leaseMs, ...(again === undefined ? {} : { again }) };
        leases.set(seatName(seat), { ...lease, ...seat });
      }
      return outcome;
    },
    close: () => log.close(),
  };
}

/**
 * The free item to hand out next: overlap and single items in turn; not the dialogue just seen; of the system, then
 * the intent, that has been rated least; at last by a hash, so that every rater meets another order.
 */
function preferred(
  free: readonly ItemRecord[],
  items: readonly ItemRecord[],
  rater: RaterState,
  rated: ReadonlyMap<string, number>,
  held: ReadonlyMap<string, number>,
): ItemRecord | undefined {
  if (free.length <= 1) return free[0];
  const load = (of: (item: ItemRecord) => string): Map<string, number> => {
    const sums = new Map<string, number>();
    for (const item of items) {
      const count = (rated.get(item.key) ?? 0) + (held.get(item.key) ?? 0);
      sums.set(of(item), (sums.get(of(item)) ?? 0) + count);
    }
    return sums;
  };
  const kind = (item: ItemRecord): string => String(item.overlap);
  const systems = load((item) => kind(item) + item.system);
  const intents = load((item) => kind(item) + (item.intent ?? ""));
  const own = new Map<string, number>();
  for (const { item } of rater.verdicts.values()) own.set(item.system, (own.get(item.system) ?? 0) + 1);
  const lastDialogue = [...rater.verdicts.values()].at(-1)?.item.dialogue_id;
  const wantsOverlap = rater.verdicts.size % 2 === 0;
  const raterNumber = createHash("sha256").update(rater.name).digest().readInt32LE(0);
  const rank = (item: ItemRecord): readonly number[] => [
    item.overlap === wantsOverlap ? 0 : 1,
    item.dialogue_id === lastDialogue ? 1 : 0,
    own.get(item.system) ?? 0,
    systems.get(kind(item) + item.system) ?? 0,
    intents.get(kind(item) + (item.intent ?? "")) ?? 0,
    mixed(Number.parseInt(item.key.slice(0, 8), 16) ^ raterNumber),
  ];
  let [best, bestRank] = [free[0]!, rank(free[0]!)];
  for (const item of free.slice(1)) {
    const itemRank = rank(item);
    const differing = itemRank.findIndex((value, i) => value !== bestRank[i]);
    if (differing >= 0 && itemRank[differing]! < bestRank[differing]!) [best, bestRank] = [item, itemRank];
  }
  return best;
}

/** Scatters a 32-bit number (the finaliser of MurmurHash3): neighbours end far apart. */
function mixed(value: number): number {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
