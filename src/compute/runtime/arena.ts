/** onnxruntime's memory arena in numbers: best fit in regions that double, nothing given back to the system. */
import type { BufferEvent } from "./memory-plan.ts";

/** A piece of a region, in a list of its neighbours. */
interface Chunk {
  readonly region: number;
  readonly start: number;
  size: number;
  free: boolean;
  previous: Chunk | undefined;
  next: Chunk | undefined;
}

const GRAIN = 256;
const FIRST_REGION = 1 << 20;
/** A chunk is split where it is twice as large as wanted, or larger by so much. */
const LARGEST_WASTE = 128 << 20;
const PAGE = 4096;

/**
 * What the buffers of runs come to as resident memory: a session keeps every page that it ever wrote.
 * Source: BFCArena of onnxruntime with its default options.
 */
export class Arena {
  /** In ascending order of size, equal ones by place. */
  readonly #free: Chunk[] = [];
  readonly #used = new Map<number, Chunk>();
  /** By region, whether each page was written. */
  readonly #pages: Uint8Array[] = [];
  #touchedPages = 0;
  #regionBytes = FIRST_REGION;

  /** Bytes of all pages written so far. */
  get residentBytes(): number {
    return this.#touchedPages * PAGE;
  }

  /** One run; what it leaves taken, its outputs, is given back at its end. */
  run(events: readonly BufferEvent[]): void {
    for (const { buffer, bytes } of events) {
      if (bytes > 0) this.#take(buffer, bytes);
      else this.#giveBack(buffer);
    }
    for (const buffer of this.#used.keys()) this.#giveBack(buffer);
  }

  #take(buffer: number, bytes: number): void {
    const wanted = Math.ceil(bytes / GRAIN) * GRAIN;
    if (this.#search(wanted) === this.#free.length) this.#extend(wanted);
    const chunk = this.#free.splice(this.#search(wanted), 1)[0]!;
    if (chunk.size >= 2 * wanted || chunk.size - wanted >= LARGEST_WASTE) this.#split(chunk, wanted);
    chunk.free = false;
    this.#used.set(buffer, chunk);
    const pages = this.#pages[chunk.region]!;
    const end = Math.ceil((chunk.start + bytes) / PAGE);
    for (let page = Math.floor(chunk.start / PAGE); page < end; page++) {
      if (pages[page] === 1) continue;
      pages[page] = 1;
      this.#touchedPages += 1;
    }
  }

  #giveBack(buffer: number): void {
    const chunk = this.#used.get(buffer);
    if (chunk === undefined) return;
    this.#used.delete(buffer);
    chunk.free = true;
    if (chunk.next?.free === true) {
      this.#remove(chunk.next);
      absorbNext(chunk);
    }
    const { previous } = chunk;
    if (previous?.free === true) {
      this.#remove(previous);
      absorbNext(previous);
      this.#insert(previous);
    } else this.#insert(chunk);
  }

  #split(chunk: Chunk, size: number): void {
    const { region, start, next } = chunk;
    const rest: Chunk = {
      region,
      start: start + size,
      size: chunk.size - size,
      free: true,
      previous: chunk,
      next,
    };
    if (next !== undefined) next.previous = rest;
    chunk.next = rest;
    chunk.size = size;
    this.#insert(rest);
  }

  /** Regions double, and at once as often as it takes. */
  #extend(wanted: number): void {
    const fits = wanted <= this.#regionBytes;
    while (wanted > this.#regionBytes) this.#regionBytes *= 2;
    const size = this.#regionBytes;
    if (fits) this.#regionBytes *= 2;
    const region = this.#pages.push(new Uint8Array(Math.ceil(size / PAGE))) - 1;
    this.#insert({ region, start: 0, size, free: true, previous: undefined, next: undefined });
  }

  /** Where the first free chunk of at least `size` bytes stands. */
  #search(size: number): number {
    let [low, high] = [0, this.#free.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle]!.size < size) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(chunk: Chunk): void {
    let at = this.#search(chunk.size);
    while (this.#free[at]?.size === chunk.size && isBefore(this.#free[at]!, chunk)) at += 1;
    this.#free.splice(at, 0, chunk);
  }

  #remove(chunk: Chunk): void {
    let at = this.#search(chunk.size);
    while (this.#free[at] !== chunk) at += 1;
    this.#free.splice(at, 1);
  }
}

function absorbNext(chunk: Chunk): void {
  const next = chunk.next!;
  chunk.size += next.size;
  chunk.next = next.next;
  if (next.next !== undefined) next.next.previous = chunk;
}

function isBefore(a: Chunk, b: Chunk): boolean {
  return a.region === b.region ? a.start < b.start : a.region < b.region;
}
