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

/** Text gathered before it is written: few system calls, little memory. */
const PIECE_CHARACTERS = 256 * 1024;

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
  #pending: string[] = [];
  #pendingCharacters = 0;
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
  write(line: string): Promise<void> | undefined {
    this.#pending.push(line);
    this.#pendingCharacters += line.length + 1;
    this.#lines += 1;
    return this.#pendingCharacters < PIECE_CHARACTERS ? undefined : this.#flush();
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
    this.#pending = [];
    await this.#sink.close().catch(() => {});
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    const piece = Buffer.from(`${this.#pending.join("\n")}\n`);
    this.#pending = [];
    this.#pendingCharacters = 0;
    this.#hash.update(piece);
    this.#bytes += piece.length;
    try {
      await this.#sink.write(piece);
    } catch (error) {
      throw explainWriteError(error, this.#path);
    }
  }
}
