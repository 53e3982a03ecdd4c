/** What a caller tells the reader, and what the reader tells back about every source. */
import type { Readable } from "node:stream";
import type { Encoding } from "./encoding.ts";
import type { LayoutName } from "./layouts/table.ts";

export type FileFormat = "jsonl" | "json" | "csv" | "tsv" | "parquet";

/** Bounds on untrusted input; each can be raised by the caller. */
export interface ReadLimits {
  /** Bytes that one packed file (all members of a zip together) may unpack to. */
  readonly unpackedBytes: number;
  /** Unpacked bytes per packed byte, looked at once 32 MiB have been unpacked. */
  readonly unpackRatio: number;
  /** Characters of one row. */
  readonly rowCharacters: number;
  /** Files inside one zip. */
  readonly archiveMembers: number;
  /** Bytes of a Parquet or zip file that has to be held in memory because it comes packed or from standard input. */
  readonly heldBytes: number;
}

export const DEFAULT_LIMITS: ReadLimits = {
  unpackedBytes: 16 * 2 ** 30,
  unpackRatio: 300,
  rowCharacters: 64 * 2 ** 20,
  archiveMembers: 10_000,
  heldBytes: 2 ** 30,
};

/** Attune's name for a field → the name the source uses; a dotted path reaches into objects. */
export type FieldMap = Readonly<Record<string, string>>;

export interface ReadProgress {
  readonly file: string;
  /** Bytes read of this and all earlier inputs, as they lie on disk. */
  readonly bytesRead: number;
  /** Absent when standard input is among the inputs. */
  readonly bytesTotal: number | undefined;
  readonly rowsRead: number;
}

export interface ReadOptions {
  /** Forces a layout instead of detecting it. */
  readonly format?: LayoutName | undefined;
  /** Forces a file format instead of detecting it. */
  readonly fileFormat?: FileFormat | undefined;
  readonly encoding?: Encoding | undefined;
  readonly fields?: FieldMap | undefined;
  /**
   * `conversation` (default): one record a row, every assistant turn supervised. `reply`: one record an
   * assistant turn, its history unsupervised; a dialogue of nine replies then gives nine records.
   */
  readonly unfold?: "conversation" | "reply" | undefined;
  /** The first rejected row throws a `UserError`. */
  readonly strict?: boolean | undefined;
  /** Half a surrogate pair in a message: reject the row (default) or replace it by U+FFFD. */
  readonly loneSurrogates?: "reject" | "replace" | undefined;
  /** Tool definitions and calls: written into the text (default) or a reason to reject the row. */
  readonly tools?: "render" | "reject" | undefined;
  readonly limits?: Partial<ReadLimits> | undefined;
  readonly onProgress?: ((progress: ReadProgress) => void) | undefined;
  /** Called when a source's layout is known (its counts are still zero) and again when it is finished. */
  readonly onSource?: ((source: SourceReport) => void) | undefined;
  /**
   * Names that ids of dialogues without an id begin with (`train.jsonl:12`) and that are taken. Share one
   * set among several readings so that two files of one name do not give the same ids.
   */
  readonly labels?: Set<string> | undefined;
  /** Read for the input "-"; the process's standard input by default. */
  readonly stdin?: Readable | undefined;
}

/** One file, or one member of an archive. It changes while the source is being read. */
export interface SourceReport {
  /** As it stands in places: a path, or `archive.zip!member`. */
  readonly file: string;
  status: "reading" | "read" | "skipped";
  /** Why a file of a folder or archive was skipped. */
  skipReason?: string;
  /** Size and hash of the file on disk; members of one archive share them. */
  bytes?: number;
  sha256?: string;
  encoding?: Encoding;
  encodingEvidence?: string;
  fileFormat?: FileFormat;
  fileFormatEvidence?: string;
  layout?: LayoutName;
  layoutEvidence?: string;
  rowsRead: number;
  rowsKept: number;
  rowsRejected: number;
  /** Records that the kept rows gave; equal to `rowsKept` unless replies are unfolded. */
  records: number;
  /** Supervised assistant turns in the kept rows: what `unfold: "reply"` would count. */
  replies: number;
  /** Rejected rows by rule. */
  readonly rejectedBy: Record<string, number>;
  /** Sentences on whatever else a user should know of this source. */
  readonly notes: string[];
}

export interface ReadReport {
  readonly sources: SourceReport[];
  /** Files of a folder whose names say that they hold no rows. */
  readonly ignored: string[];
}
