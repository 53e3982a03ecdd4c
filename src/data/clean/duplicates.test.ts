/** Exact duplicates, boilerplate, near duplicates: what is dropped, what must stay, and MinHash against exact Jaccard. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { random, readJsonLines } from "../../util/index.ts";
import type { DialogueRecord } from "../record.ts";
import { digestTable } from "./digest.ts";
import { SKETCH, fingerprinter, jaccard, shingler, sortDistinct } from "./minhash.ts";
import { type NearDuplicatesDetails, prober } from "./near-duplicates.ts";
import { nearIndex } from "./near-index.ts";
import { normaliser } from "./normalise.ts";
import { dialogue, run } from "./rule.contract.ts";
import { newTexts } from "./texts.ts";

describe("digest table", () => {
  it("agrees with a Map, also while it grows", () => {
    const table = digestTable();
    const map = new Map<string, number>();
    const source = random(1, "digest-table");
    for (let i = 0; i < 20_000; i++) {
      const key = { high: source.integer(50), low: source.integer(200) };
      const name = `${Math.max(1, key.high)}.${key.low}`;
      expect(table.getOrPut(key, i)).toBe(map.get(name));
      if (!map.has(name)) map.set(name, i);
    }
    expect(table.size).toBe(map.size);
  });
});

describe("exact duplicates", () => {
  it("drops what says the same, whatever case, width and spaces", () => {
    const first = dialogue("u: Hi there", "a: Hello, ＡＢＣ");
    const { shown, report } = run("exactDuplicates", [
      first,
      dialogue("u: hi  THERE", "a: hello, abc"),
      dialogue("u: Hi there", "h: Hello, ABC", "u: ok", "a: fine"),
      dialogue("u: Hi", "a: there Hello, ABC"),
    ]);
    expect(shown.map((result) => typeof result)).toEqual(["object", "string", "object", "object"]);
    expect(shown[1]).toBe(`exact-duplicate: the same text stands in test.jsonl:${first.source.line}`);
    expect(report.details).toMatchObject({ clusters: 1, largest: [{ size: 2, kept: first.source }] });
  });

  it("compares replies alone when told to", () => {
    const records = [dialogue("u: a", "a: Yes it is"), dialogue("u: b", "a: yes it is")];
    const { whole } = run("exactDuplicates", records, { exactDuplicates: { compare: "reply" } });
    expect(whole).toMatchObject({ kept: 1, rejected: 1 });
  });
});

describe("boilerplate", () => {
  it("learns a text up to the cap and keeps the rest as history", () => {
    const records = [1, 2, 3, 4].map((i) =>
      dialogue(`u: question ${i}`, `a: answer ${i}`, "u: thanks", "a: Have a great day!"),
    );
    const alone = dialogue("u: bye", "a: have a great day!");
    const { shown, report } = run("boilerplate", [...records, alone], { boilerplate: { cap: 2 } });
    expect(shown[1]![3]).toBe("a: Have a great day!");
    expect(shown[2]![3]).toBe("h: Have a great day!");
    expect(shown[4]).toContain("is learned 2 times");
    expect(report).toMatchObject({
      unsupervised: 2,
      rejected: 1,
      details: { cap: 2, texts: [{ text: "Have a great day!", capped: 3 }] },
    });
  });

  it("grows its cap with the set", () => {
    const records = Array.from({ length: 100 }, (_, i) =>
      dialogue("u: q", i % 2 === 0 ? "a: same" : `a: other ${i}`),
    );
    const { report } = run("boilerplate", records, { boilerplate: { cap: 1, share: 0.1 } });
    // At reply n the cap is n / 10, so about a tenth of what was read is learned.
    expect(report.rejected).toBeGreaterThan(38);
    expect(report.rejected).toBeLessThan(42);
  });
});

const LONG =
  "The refund for your order was sent to the card you paid with and it should be on your statement within five working days, please write again if it is not";

describe("near duplicates", () => {
  it("drops the later of two that differ in a word, and shows the cluster", () => {
    const first = dialogue("u: Where is the refund for my order", `a: ${LONG}`);
    const { shown, report } = run("nearDuplicates", [
      first,
      dialogue("u: Where is the refund for my order", `a: ${LONG.replace("five", "seven")}`),
      dialogue("u: Where is my parcel", "a: It left the warehouse on Tuesday and is with the courier now"),
    ]);
    expect(shown.map((result) => typeof result)).toEqual(["object", "string", "object"]);
    expect(shown[1]).toMatch(/^near-duplicate: \d\d % of the text stands in test\.jsonl:\d+$/);
    const details = report.details as NearDuplicatesDetails;
    expect(details).toMatchObject({ threshold: 0.8, clusters: 1, cutSearches: 0 });
    expect(details.largest[0]).toMatchObject({ size: 2, kept: first.source });
  });

  it("keeps rows of one dialogue, and equal histories with another reply", () => {
    const history = [
      "u: I would like to ask about the double room on the third floor of your hotel",
      `h: ${LONG}`,
    ];
    const row = (id: string, ...turns: readonly string[]): DialogueRecord => ({
      ...dialogue(...turns),
      dialogueId: id,
    });
    const { whole } = run("nearDuplicates", [
      row("a", ...history, "u: Is breakfast part of the price then", "a: Yes"),
      row("a", ...history, "u: Is breakfast part of the price then", "h: Yes", "u: Good", "a: Yes indeed"),
      row("b", ...history, "u: Is breakfast part of the price then", "a: No"),
    ]);
    expect(whole.kept).toBe(3);
  });

  it("bounds the search where hundreds look alike, and says so", () => {
    const history = [
      "u: I would like to ask about the double room on the third floor",
      `h: ${LONG}`,
      "u: Which room number is it",
    ];
    const records = Array.from({ length: 400 }, (_, i) => dialogue(...history, `a: number${i}`));
    const { whole, report } = run("nearDuplicates", records);
    expect(whole.kept).toBe(400);
    expect((report.details as NearDuplicatesDetails).cutSearches).toBeGreaterThan(50);
  });

  it("works on Chinese by character", () => {
    const text = "您好，您的订单已经从仓库发出，预计明天下午送达，请保持电话畅通，如有问题随时联系我们";
    const { whole } = run("nearDuplicates", [
      dialogue("u: 我的订单到哪里了", `a: ${text}`),
      dialogue("u: 我的订单到哪里了？", `a: ${text.replace("明天", "后天")}`),
    ]);
    expect(whole.rejected).toBe(1);
  });

  it("leaves records without a word alone", () => {
    const { whole } = run("nearDuplicates", [dialogue("u: ?", "a: !"), dialogue("u: …", "a: 😀")]);
    expect(whole.kept).toBe(2);
  });
});

describe("sketches", () => {
  it("sort and drop repeats as a Set does", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -100, max: 100 }), { maxLength: 120 }), (drawn) => {
        const values = Int32Array.from(drawn);
        const count = sortDistinct(values, drawn.length);
        expect([...values.subarray(0, count)]).toEqual([...new Set(drawn)].sort((a, b) => a - b));
      }),
    );
  });

  it("give the exact Jaccard index of small sets and a near one of large sets", () => {
    const source = random(7, "sketch-test");
    for (const [size, tolerance] of [
      [60, 1e-9],
      [2_000, 0.15],
    ] as const) {
      const a = new Set<number>();
      const b = new Set<number>();
      for (let i = 0; i < size; i++) {
        const value = source.integer(2 ** 31);
        if (source.next() < 0.9) a.add(value);
        if (source.next() < 0.9) b.add(value);
      }
      const sketch = (set: ReadonlySet<number>): number[] => [...set].sort((x, y) => x - y).slice(0, SKETCH);
      const both = [...a].filter((value) => b.has(value)).length;
      const exact = both / (a.size + b.size - both);
      const [left, right] = [sketch(a), sketch(b)];
      expect(Math.abs(jaccard(left, left.length, right, 0, right.length) - exact)).toBeLessThan(tolerance);
    }
  });
});

interface Golden {
  readonly lines: number;
  readonly threshold: number;
  readonly exactPairs: readonly (readonly [number, number, number])[];
  readonly datasketch: Readonly<
    Record<"candidates" | "estimatedAboveThreshold", { readonly precision: number; readonly recall: number }>
  >;
}

const ROOT = join(import.meta.dirname, "..", "..", "..");
const SHARED = join(ROOT, "..", "shared", "data", "jsonl");
const TOKENS = /[\u3400-\u4dbf\u4e00-\u9fff]|[a-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]+/g;

async function firstReplies(corpus: string, count: number): Promise<readonly string[]> {
  const seen = new Set<string>();
  for await (const { value } of readJsonLines(join(SHARED, `${corpus}.train.jsonl.gz`))) {
    const { response } = value as { readonly response: string };
    if ((response.normalize("NFKC").toLowerCase().match(TOKENS) ?? []).length >= 5) seen.add(response);
    if (seen.size === count) break;
  }
  return [...seen];
}

describe("2,000 real replies", () => {
  it("find every pair that exact Jaccard finds and no other, where datasketch misses some", async (context) => {
    if (!existsSync(SHARED)) return context.skip("../shared/data is not there");
    const golden = JSON.parse(
      readFileSync(join(ROOT, "test", "golden", "clean", "near_duplicates.json"), "utf8"),
    ) as Golden;
    const replies = [...(await firstReplies("sgd", 1_000)), ...(await firstReplies("crosswoz", 1_000))];
    expect(replies.length).toBe(golden.lines);
    const texts = newTexts();
    const probe = prober({ shingle: 2, compare: "reply" }, texts);
    const index = nearIndex(golden.threshold);
    const found = new Set<string>();
    replies.forEach((reply, j) => {
      const record = dialogue(`a: ${reply}`);
      const own = probe(record, [texts.entry(reply)])!;
      for (const { ordinal } of index.findAll(own)) found.add(`${ordinal}-${j}`);
      index.add(own);
    });
    const exact = new Set(golden.exactPairs.map(([i, j]) => `${i}-${j}`));
    const right = [...found].filter((pair) => exact.has(pair)).length;
    const [precision, recall] = [right / found.size, right / exact.size];
    const { candidates, estimatedAboveThreshold: estimated } = golden.datasketch;
    console.log(
      `near duplicates: ${exact.size} exact pairs; precision ${precision.toFixed(3)}, recall ${recall.toFixed(3)}; ` +
        `datasketch: candidates ${candidates.precision.toFixed(3)}, ${candidates.recall.toFixed(3)}, ` +
        `estimated ${estimated.precision.toFixed(3)}, ${estimated.recall.toFixed(3)}`,
    );
    expect(precision).toBe(1);
    expect(recall).toBeGreaterThanOrEqual(0.97);
    expect(recall).toBeGreaterThan(candidates.recall);
  });

  it("have the odds of meeting that the bands promise", () => {
    // Pairs of random sets of known Jaccard index; the share that shares a band is 1 − (1 − J⁵)¹⁴.
    const normalise = normaliser();
    const fingerprint = fingerprinter(1);
    const source = random(3, "bands-test");
    const share = (jaccardIndex: number): number => {
      let met = 0;
      const pairs = 400;
      for (let p = 0; p < pairs; p++) {
        const common = Array.from({ length: 40 }, () => `w${source.integer(1e9)}`);
        const own = Math.round((40 * (1 / jaccardIndex - 1)) / 2);
        const extra = (): string[] => Array.from({ length: own }, () => `w${source.integer(1e9)}`);
        const a = fingerprint(normalise([...common, ...extra()].join(" "))).signature;
        const b = fingerprint(normalise([...common, ...extra()].join(" "))).signature;
        for (let band = 0; band < 14; band++) {
          let same = true;
          for (let row = 0; row < 5; row++) same &&= a[band * 5 + row] === b[band * 5 + row];
          if (same) {
            met += 1;
            break;
          }
        }
      }
      return met / pairs;
    };
    expect(share(0.8)).toBeGreaterThan(0.98);
    expect(share(0.5)).toBeGreaterThan(0.25);
    expect(share(0.5)).toBeLessThan(0.47);
    expect(share(0.2)).toBeLessThan(0.03);
  });

  it("shingle as the comparison script does", () => {
    const normalise = normaliser();
    const count = (text: string): number => shingler(2)(normalise(text)).length;
    expect(count("It's 5 p.m., isn't it?")).toBe(7);
    expect(count("您好hello世界")).toBe(4);
    expect(count("one")).toBe(1);
    expect(count("?!")).toBe(0);
  });
});
