/** Which telephone numbers and mailboxes are public: what the assistant gives out as an answer. */
import type { DialogueRecord } from "../record.ts";
import type { PersonalFind } from "./personal-detect.ts";

/** What was found in each message of a record, in order. */
type Finds = readonly (readonly PersonalFind[])[];

export interface PublicNumbers {
  /** Counts what one more dialogue's assistant names first. */
  observe(record: DialogueRecord, finds: Finds): void;
  /** Tells which finds in the messages of `record` are public. */
  inRecord(record: DialogueRecord, finds: Finds): (find: PersonalFind) => boolean;
}

/** Values remembered by `observe`; beyond it new values are not counted and stay masked. */
const MAX_VALUES = 300_000;
const CHINESE_MOBILE = /^86:/;
const SERVICE_MAILBOX =
  /^(?:support|service|services|info|help|helpdesk|contact|customer|customercare|customerservice|care|sales|orders?|billing|returns?|refunds?|hello|press|feedback|office|booking|bookings|reservations?|kefu|shouhou|noreply|no-reply)[._-]?\d{0,3}@/;
/** The assistant speaks of the customer's own number. */
const OF_THE_CUSTOMER =
  /\byour (?:\w+ )?(?:phone|mobile|cell|number|contact|telephone|e-?mail|account)\b|\bon file\b|\bwe have (?:you|your)\b|\b(?:texted|sent|send|updated|changed|registered|code|receipt|confirmation)\b[^.!?]{0,24}\bto\b|您(?:的|登记|预留|绑定|填写|提供)|你(?:的|登记|预留|绑定|填写|提供)|尾号|发送(?:到|至)|发(?:到|至|给)您|登记的|预留的|绑定的|收货人|入住人/i;
const SPEAKS_OF_CONTACT =
  /\b(?:phone|number|call|contact|reach|telephone|tel|dial|hotline|fax|e-?mail|write|mail|desk|line)\b|电话|電話|号码|號碼|热线|熱線|联系|聯絡|拨打|撥打|致电|客服|邮箱|座机|打/i;

export function publicNumbers(options: {
  readonly answers: boolean;
  readonly dialogues: number;
}): PublicNumbers {
  /** Value → the dialogues that name it, up to the number that makes it public. */
  const seen = new Map<string, string[]>();
  return {
    observe(record, finds) {
      if (options.dialogues === 0) return;
      for (const { find, place } of firstMentions(record, finds)) {
        if (record.messages[place]?.role !== "assistant" || !canBePublic(find)) continue;
        const dialogues = seen.get(find.value);
        if (dialogues === undefined) {
          if (seen.size < MAX_VALUES) seen.set(find.value, [record.dialogueId]);
        } else if (dialogues.length < options.dialogues && !dialogues.includes(record.dialogueId)) {
          dialogues.push(record.dialogueId);
        }
      }
    },
    inRecord(record, finds) {
      const values = new Set<string>();
      for (const { find, place } of firstMentions(record, finds)) {
        if (!canBePublic(find)) continue;
        const repeated = options.dialogues > 0 && (seen.get(find.value)?.length ?? 0) >= options.dialogues;
        if (repeated || (options.answers && isAnswer(record, find, place))) values.add(find.value);
      }
      return (find) => canBePublic(find) && values.has(find.value);
    },
  };
}

function canBePublic(find: PersonalFind): boolean {
  return find.kind === "phone" || find.kind === "email";
}

interface Mention {
  readonly find: PersonalFind;
  /** Index of the message that mentions the value first. */
  readonly place: number;
}

function firstMentions(record: DialogueRecord, finds: Finds): readonly Mention[] {
  const mentions: Mention[] = [];
  const values = new Set<string>();
  record.messages.forEach((message, place) => {
    // A tool's result is not said to anybody; what counts is who says the value first.
    if (message.role === "tool") return;
    for (const find of finds[place]!) {
      if (values.has(find.value)) continue;
      values.add(find.value);
      mentions.push({ find, place });
    }
  });
  return mentions;
}

/** The assistant names it first, in answer to somebody who wants to get in touch, and not as the customer's own. */
function isAnswer(record: DialogueRecord, find: PersonalFind, place: number): boolean {
  const message = record.messages[place]!;
  if (message.role === "system") return true;
  if (message.role !== "assistant") return false;
  if (find.kind === "phone" ? CHINESE_MOBILE.test(find.value) : !SERVICE_MAILBOX.test(find.value))
    return false;
  const sentence = sentenceAround(message.content, find.start, find.end);
  if (OF_THE_CUSTOMER.test(sentence)) return false;
  if (SPEAKS_OF_CONTACT.test(sentence)) return true;
  const asked = record.messages.slice(0, place).findLast((earlier) => earlier.role === "user");
  return asked !== undefined && SPEAKS_OF_CONTACT.test(asked.content.slice(0, 2_000));
}

/** At most 120 characters on either side, ended by a full stop. */
function sentenceAround(text: string, start: number, end: number): string {
  const before = text.slice(Math.max(0, start - 120), start);
  const after = text.slice(end, end + 120);
  const from = Math.max(
    ...[". ", "! ", "? ", "。", "！", "？", "\n"].map((stop) => before.lastIndexOf(stop)),
  );
  const to = after.search(/[.!?](?:\s|$)|[。！？\n]/);
  return before.slice(from + 1) + text.slice(start, end) + (to < 0 ? after : after.slice(0, to));
}
