/** Numbers a row, in typed arrays that grow: a million rows cost some 40 MB. */

type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array;

/** A typed array with a length of its own that doubles when it is full. */
export class GrowingColumn<A extends Column> {
  #values: A;
  #length = 0;
  readonly #make: (size: number) => A;

  constructor(make: (size: number) => A) {
    this.#make = make;
    this.#values = make(1024);
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = this.#make(this.#length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length++] = value;
  }

  at(index: number): number {
    return this.#values[index]!;
  }

  /** The values so far, as a view. */
  view(): A {
    return this.#values.subarray(0, this.#length) as A;
  }
}

export const column = {
  u8: () => new GrowingColumn((size) => new Uint8Array(size)),
  u16: () => new GrowingColumn((size) => new Uint16Array(size)),
  u32: () => new GrowingColumn((size) => new Uint32Array(size)),
  f64: () => new GrowingColumn((size) => new Float64Array(size)),
};

/** Names numbered in order of first appearance. */
export class Names {
  readonly #ids = new Map<string, number>();
  readonly list: string[] = [];

  id(name: string): number {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.list.length;
      // A copy of its own: a slice of a row would keep the whole row in memory.
      this.#ids.set(name, id);
      this.list.push(name);
    }
    return id;
  }

  has(name: string): boolean {
    return this.#ids.has(name);
  }
}
