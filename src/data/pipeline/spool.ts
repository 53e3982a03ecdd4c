/** Kept rows and their shingles wait on disk while only numbers stay in memory. */
import { type FileHandle, open, rm } from "node:fs/promises";
import { explainWriteError } from "../../util/index.ts";
import { column } from "./columns.ts";

const PIECE_BYTES = 1 << 20;

/** Records of bytes appended to a file and read back by number. */
export class Spool {
  readonly #path: string;
  readonly #file: FileHandle;
  /** offsets[i] … offsets[i + 1] are the bytes of record i. */
  readonly #offsets = column.f64();
  #buffer = Buffer.allocUnsafe(PIECE_BYTES);
  #used = 0;
  #written = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
    this.#offsets.push(0);
  }

  static async create(path: string): Promise<Spool> {
    try {
      return new Spool(path, await open(path, "wx+"));
    } catch (error) {
      throw explainWriteError(error, path);
    }
  }

  get length(): number {
    return this.#offsets.length - 1;
  }

  /** Takes a text as UTF-8. Returns a promise only when a piece is due: await it if it is there. */
  addText(text: string): Promise<void> | undefined {
    const room = this.#reserve(text.length * 3);
    this.#used += this.#buffer.write(text, room);
    return this.#added();
  }

  addBytes(bytes: Uint8Array): Promise<void> | undefined {
    const room = this.#reserve(bytes.length);
    this.#buffer.set(bytes, room);
    this.#used += bytes.length;
    return this.#added();
  }

  /** Records `order[0]`, `order[1]` … Neighbours are read together; the bytes are valid until the next is asked for. */
  async *read(order: Uint32Array): AsyncGenerator<Buffer> {
    await this.#flush();
    let piece = Buffer.allocUnsafe(PIECE_BYTES);
    const offset = (record: number): number => this.#offsets.at(record);
    for (let i = 0; i < order.length;) {
      const start = offset(order[i]!);
      let run = i + 1;
      while (
        run < order.length &&
        order[run] === order[run - 1]! + 1 &&
        offset(order[run]! + 1) - start <= PIECE_BYTES
      ) {
        run += 1;
      }
      const length = offset(order[run - 1]! + 1) - start;
      if (length > piece.length) piece = Buffer.allocUnsafe(length);
      await readFully(this.#file, piece, length, start);
      for (; i < run; i++) {
        yield piece.subarray(offset(order[i]!) - start, offset(order[i]! + 1) - start);
      }
    }
  }

  /** Closes and deletes the file; never throws. */
  async remove(): Promise<void> {
    await this.#file.close().catch(() => {});
    await rm(this.#path, { force: true }).catch(() => {});
  }

  /** Makes room for `bytes` in the buffer and returns where. A piece already due is on its way: see `#added`. */
  #reserve(bytes: number): number {
    if (this.#used + bytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#used + bytes));
      this.#buffer.copy(larger, 0, 0, this.#used);
      this.#buffer = larger;
    }
    return this.#used;
  }

  #added(): Promise<void> | undefined {
    this.#offsets.push(this.#written + this.#used);
    return this.#used >= PIECE_BYTES ? this.#flush() : undefined;
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    const piece = this.#buffer.subarray(0, this.#used);
    this.#written += this.#used;
    this.#used = 0;
    try {
      for (let done = 0; done < piece.length;) {
        const { bytesWritten } = await this.#file.write(piece, done, piece.length - done);
        done += bytesWritten;
      }
    } catch (error) {
      throw explainWriteError(error, this.#path);
    }
  }
}

async function readFully(file: FileHandle, into: Buffer, length: number, position: number): Promise<void> {
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(into, done, length - done, position + done);
    if (bytesRead === 0) throw new Error("the spool file was cut short while it was in use");
    done += bytesRead;
  }
}
