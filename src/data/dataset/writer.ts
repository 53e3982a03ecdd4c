/** Lines into a file by large pieces, with the count, the size and the hash of what was written. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { explainWriteError } from "../../util/index.ts";

/** What a writer needs of a file; a test puts a disk that fills up in its place. */
export interface Sink {
  write(bytes: Uint8Array): Promise<unknown>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export type OpenSink = (path: string) => Promise<Sink>;

export interface WrittenFile {
  readonly lines: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** Gathered before it is written: few system calls, little memory. */
const PIECE_BYTES = 512 * 1024;
const LINE_END = 0x0a;

export const openFileSink: OpenSink = async (path) => {
  const file = await open(path, "wx");
  return {
    // `writeFile` goes on until every byte is written, where `write` may stop short.
    write: (bytes) => file.writeFile(bytes),
    sync: () => file.sync(),
    close: () => file.close(),
  };
};

export class LineWriter {
  readonly #path: string;
  readonly #sink: Sink;
  readonly #hash = createHash("sha256");
  #piece = Buffer.allocUnsafe(PIECE_BYTES);
  #used = 0;
  #lines = 0;
  #bytes = 0;

  private constructor(path: string, sink: Sink) {
    this.#path = path;
    this.#sink = sink;
  }

  static async create(path: string, openSink: OpenSink = openFileSink): Promise<LineWriter> {
    try {
      return new LineWriter(path, await openSink(path));
    } catch (error) {
      throw explainWriteError(error, path);
    }
  }

  /** Takes one line without its end. Returns a promise only when a piece is due: await it if it is there. */
  write(line: string | Uint8Array): Promise<void> | undefined {
    // A UTF-16 unit takes at most three bytes.
    this.#reserve((typeof line === "string" ? line.length * 3 : line.length) + 1);
    if (typeof line === "string") this.#used += this.#piece.write(line, this.#used);
    else {
      this.#piece.set(line, this.#used);
      this.#used += line.length;
    }
    this.#piece[this.#used++] = LINE_END;
    this.#lines += 1;
    return this.#used < PIECE_BYTES ? undefined : this.#flush();
  }

  /** Writes what is left and makes it durable. */
  async finish(): Promise<WrittenFile> {
    await this.#flush();
    try {
      await this.#sink.sync();
      await this.#sink.close();
    } catch (error) {
      throw explainWriteError(error, this.#path);
    }
    return { lines: this.#lines, bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** Closes without caring for what was written; never throws. */
  async abandon(): Promise<void> {
    this.#used = 0;
    await this.#sink.close().catch(() => {});
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#piece.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#piece.length, this.#used + bytes));
    this.#piece.copy(larger, 0, 0, this.#used);
    this.#piece = larger;
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    const piece = this.#piece.subarray(0, this.#used);
    this.#used = 0;
    this.#hash.update(piece);
    this.#bytes += piece.length;
    try {
      await this.#sink.write(piece);
    } catch (error) {
      throw explainWriteError(error, this.#path);
    }
  }
}
