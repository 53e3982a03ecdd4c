/** A manifest for tests, with everything a report can show and texts that try to break out of it. */
import { type Manifest, SCHEMA_VERSION } from "../manifest.ts";

export const HOSTILE = `<script>document.title="pwned"</script><img src=x onerror="document.title='pwned'">"'&\u202Egnp.exe\u0000`;

const EDGES = [0, 2, 4, 6, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 201, 400];
const part = (file: string, examples: number) => ({
  file,
  sha256: "ab".repeat(32),
  bytes: examples * 700,
  examples,
  conversations: Math.round(examples / 6),
  replies: examples,
  intents: {
    track_order: Math.round(examples * 0.3),
    refund: Math.round(examples * 0.25),
    [HOSTILE]: 12,
    "退货-咨询": 90,
  },
});

export function fixtureManifest(changes: Partial<Manifest> = {}): Manifest {
  return {
    kind: "attune-dataset",
    schemaVersion: SCHEMA_VERSION,
    madeBy: "attune 0.1.0",
    seed: 42,
    config: {},
    sources: [
      {
        name: `chats/${HOSTILE}.jsonl`,
        sha256: "cd".repeat(32),
        bytes: 12_345_678,
        layout: "native",
        evidence: "100 of 100 sampled rows have `context` and `response`; UTF-8 without a byte-order mark",
        rowsRead: 12_000,
        rowsKept: 11_950,
        rowsRejected: 50,
        records: 11_950,
        replies: 11_950,
        notes: [],
      },
      {
        name: "chats/readme.json",
        rowsRead: 0,
        rowsKept: 0,
        rowsRejected: 0,
        records: 0,
        replies: 0,
        skipped: "it has no layout that is known",
        notes: [],
      },
    ],
    rows: { read: 12_000, kept: 7_400, rejected: 4_600 },
    rejected: {
      "reply-length": 2_900,
      "near-duplicate": 900,
      "exact-duplicate": 500,
      "intent-balance": 250,
      "json-syntax": 50,
    },
    rules: [
      rule("personal-data", {
        changed: 310,
        reasons: { phone: 210, email: 90, "bank-card": 12, [HOSTILE]: 3 },
      }),
      rule("reply-length", {
        rejected: 2_900,
        unsupervised: 1_200,
        reasons: { "too-short": 2_600, "too-long": 300 },
      }),
      rule("exact-duplicate", {
        rejected: 500,
        reasons: { "same-text": 500 },
        details: { clusters: 60, largest: [cluster(41, "Thank you, goodbye.")] },
      }),
      rule("near-duplicate", {
        rejected: 900,
        reasons: { "similar-text": 900 },
        details: { clusters: 200, largest: [cluster(17, HOSTILE), "junk"] },
      }),
      rule("language", { enabled: false }),
      rule("encoding", {}),
    ],
    shape: {
      intentsBefore: { track_order: 2_400, refund: 1_500, [HOSTILE]: 12, "退货-咨询": 90 },
      balance: {
        method: "drop",
        maxShare: 0.3,
        shareBefore: 0.41,
        shareAfter: 0.3,
        dropped: 250,
        reached: true,
        notes: [],
      },
      split: {
        fractions: { train: 0.8, validation: 0.1, test: 0.1 },
        stratificationError: 0.021,
        singleIntents: ["rare"],
        nearDuplicatesMoved: 31,
        notes: [],
      },
      long: { overTurns: 5, wanted: 0.3, shareBefore: 0.18, shareAfter: 0.3, added: 400, notes: [] },
      mix: { sources: [{ name: "chats", wanted: 1, before: 100, after: 100 }], notes: [] },
    },
    splits: {
      train: part("train.jsonl", 5_920),
      validation: part("validation.jsonl", 740),
      test: part("test.jsonl", 740),
    },
    rejectedFile: { sha256: "ef".repeat(32), bytes: 900_000, lines: 4_600 },
    maxIntentShare: 0.3,
    lengths: {
      replyWordsBefore: {
        edges: EDGES,
        counts: [300, 800, 1100, 900, 700, 1800, 1500, 1900, 1300, 900, 300, 200, 180, 90, 30, 0],
      },
      replyWordsAfter: {
        edges: EDGES,
        counts: [0, 0, 0, 0, 0, 1700, 1400, 1850, 1250, 800, 290, 190, 180, 90, 0, 0],
      },
      turnsBefore: {
        edges: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10],
        counts: [0, 4000, 2500, 1800, 1200, 900, 700, 400, 300, 200],
      },
      turnsAfter: {
        edges: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10],
        counts: [0, 2000, 1700, 1200, 900, 600, 500, 300, 150, 50],
      },
      tokens: {
        model: HOSTILE,
        limit: 2048,
        overLimit: 7,
        longest: 3071,
        histogram: { edges: [0, 128, 256, 512, 1024, 2048], counts: [900, 2600, 3000, 800, 93, 7] },
      },
    },
    leaks: { dialogueId: 0, conversation: 0, nearDuplicate: 0, threshold: 0.8, sharedReplies: 0.12 },
    warnings: [{ text: `Train is small ${HOSTILE}`, advice: "Add sources." }],
    ...changes,
  };
}

function rule(name: string, changes: Partial<Manifest["rules"][number]>): Manifest["rules"][number] {
  const text = `Please call ${HOSTILE} back`;
  return {
    name,
    summary: `What the rule ${name} does, in one sentence.`,
    enabled: true,
    seen: 12_000,
    kept: 11_000,
    rejected: 0,
    changed: 0,
    flagged: 0,
    unsupervised: 0,
    reasons: {},
    examples: [
      {
        reason: "phone",
        dialogueId: "d1",
        source: { file: "a/b.jsonl", line: 7 },
        role: "user",
        text,
        start: 12,
        end: 12 + HOSTILE.length,
      },
      {
        reason: "empty",
        dialogueId: "d2",
        source: { file: "b.parquet", row: 3 },
        role: "assistant",
        text: "",
        start: 0,
        end: 0,
      },
    ],
    ...changes,
  };
}

function cluster(size: number, text: string) {
  return { size, text, kept: { file: "chats/a.jsonl", line: 12 }, duplicates: [] };
}
