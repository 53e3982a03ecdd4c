/** Takes kept rows in: the row goes to the spool, a few numbers stay. */
import type { Example } from "../../model/text/index.ts";
import type { DialogueRecord, SourcePlace } from "../record.ts";
import { ConversationGatherer, type GatheredConversation, exampleToLine } from "../dataset/index.ts";
import { NO_INTENT, type RowColumns } from "../shape/index.ts";
import { Names, column } from "./columns.ts";
import type { Spool } from "./spool.ts";

const U16 = 0xffff;

export class Intake {
  readonly conversations = new Names();
  readonly intents = new Names();
  readonly files = new Names();
  /** Labels of the supervised replies, for stratifying: pairs of (conversation, intent). */
  readonly labelConversations = column.u32();
  readonly labels = column.u32();
  /** Runs of rows of one conversation: whose they are and the key of their words. */
  readonly pieceConversations = column.u32();
  readonly pieceKeys = column.f64();
  readonly replies = column.u16();
  readonly #conversation = column.u32();
  readonly #intent = column.u32();
  readonly #turns = column.u16();
  readonly #source = column.u16();
  readonly #file = column.u32();
  /** 2 · line, or 2 · row + 1, or −1 where the place has neither. */
  readonly #position = column.f64();
  readonly #gatherer = new ConversationGatherer();
  readonly #rows: Spool;
  readonly #shingles: Spool;

  constructor(rows: Spool, shingles: Spool) {
    this.#rows = rows;
    this.#shingles = shingles;
  }

  get length(): number {
    return this.#conversation.length;
  }

  columns(): RowColumns {
    return {
      conversation: this.#conversation.view(),
      intent: this.#intent.view(),
      turns: this.#turns.view(),
      source: this.#source.view(),
    };
  }

  place(row: number): SourcePlace {
    const file = this.files.list[this.#file.at(row)]!;
    const position = this.#position.at(row);
    if (position < 0) return { file };
    return position % 2 === 0 ? { file, line: position / 2 } : { file, row: (position - 1) / 2 };
  }

  /** Returns a promise only when something has to be written: await it if it is there. */
  add(record: DialogueRecord, source: number): Promise<void> | undefined {
    const conversation = this.conversations.id(record.dialogueId);
    const intent = this.#label(record, conversation);
    const turns = record.messages.reduce((sum, { role }) => sum + (role === "user" ? 1 : 0), 0);
    this.#conversation.push(conversation);
    this.#intent.push(this.intents.id(intent ?? NO_INTENT));
    this.#turns.push(Math.min(turns, U16));
    this.#source.push(source);
    this.#file.push(this.files.id(record.source.file));
    const { line, row } = record.source;
    this.#position.push(line !== undefined ? 2 * line : row !== undefined ? 2 * row + 1 : -1);
    const example: Example = {
      dialogueId: record.dialogueId,
      messages: record.messages,
      ...(intent === undefined ? {} : { intent }),
      ...(record.turn === undefined ? {} : { turn: record.turn }),
      ...(record.weight === undefined ? {} : { weight: record.weight }),
    };
    const piece = this.#gatherer.add(example);
    const wrote = this.#rows.addText(exampleToLine(example));
    return both(wrote, piece === undefined ? undefined : this.#addPiece(piece));
  }

  async finish(): Promise<void> {
    const piece = this.#gatherer.end();
    if (piece !== undefined) await this.#addPiece(piece);
  }

  #addPiece(piece: GatheredConversation): Promise<void> | undefined {
    this.pieceConversations.push(this.conversations.id(piece.id));
    this.pieceKeys.push(piece.key);
    return this.#shingles.addBytes(
      new Uint8Array(piece.set.buffer, piece.set.byteOffset, piece.set.byteLength),
    );
  }

  /**
   * Notes the intent of every reply that is to be learned (its own, else that of the question before it, else the
   * record's) and returns the record's class: its own intent, else the most frequent of its replies.
   */
  #label(record: DialogueRecord, conversation: number): string | undefined {
    const counts = new Map<string, number>();
    let asked: string | undefined;
    let replies = 0;
    for (const { role, supervised, intent } of record.messages) {
      if (role === "user") asked = intent;
      if (role !== "assistant" || supervised === false) continue;
      const own = intent ?? asked ?? record.intent;
      replies += 1;
      this.labelConversations.push(conversation);
      this.labels.push(this.intents.id(own ?? NO_INTENT));
      if (own !== undefined) counts.set(own, (counts.get(own) ?? 0) + 1);
    }
    this.replies.push(Math.min(replies, U16));
    if (record.intent !== undefined) return record.intent;
    let best: string | undefined;
    for (const [intent, count] of counts) if (count > (counts.get(best ?? "") ?? 0)) best = intent;
    return best;
  }
}

function both(a: Promise<void> | undefined, b: Promise<void> | undefined): Promise<void> | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Promise.all([a, b]).then(() => {});
}
