/** From tokens to replies without a model: sampling, stop strings, streaming, slots. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { uniform } from "../../../test/fixtures/formula-weights.ts";
import { smallTokenizer } from "../../../test/fixtures/text.ts";
import { random } from "../../util/index.ts";
import type { GenerationEngine } from "./engine.ts";
import { type ReplyEvent, type ReplyOptions, generateReplies } from "./replies.ts";
import { type SamplingOptions, greedy, isPlainGreedy, sample } from "./sampler.ts";
import { stopFilter } from "./stop.ts";

describe("sampling keeps what transformers' warpers keep, as often as they do", () => {
  interface SamplerCase extends SamplingOptions {
    readonly kept: readonly number[];
    readonly probabilities: readonly number[];
  }
  const url = new URL("../../../test/golden/generate/sampler.json", import.meta.url);
  const golden = JSON.parse(readFileSync(url, "utf8")) as {
    readonly vocabulary: number;
    readonly seen: readonly number[];
    readonly scale: number;
    readonly cases: readonly SamplerCase[];
  };
  const logits = Float32Array.from(uniform("logits", golden.vocabulary), (u) => u * golden.scale);
  const seen = new Set(golden.seen);

  /** The exact distribution: `sample` is monotonic in its random number, so its steps can be found by bisection. */
  function distribution(options: SamplingOptions): Map<number, number> {
    const at = (u: number): number => sample(logits, seen, options, { ...random(0, ""), next: () => u });
    const end = 1 - 2 ** -53;
    const result = new Map<number, number>();
    for (let from = 0; from < end;) {
      const id = at(from);
      let [low, high] = [from, end];
      if (at(end) === id) low = end;
      else
        while (high - low > 1e-12) {
          const middle = (low + high) / 2;
          if (at(middle) === id) low = middle;
          else high = middle;
        }
      expect(result.has(id), "each token has one stretch").toBe(false);
      result.set(id, low - from);
      from = low === end ? 1 : high;
    }
    return result;
  }

  test.each(golden.cases)(
    "temperature $temperature, top-k $topK, top-p $topP, penalty $repetitionPenalty",
    ({ kept, probabilities, ...options }) => {
      const got = distribution(options);
      expect([...got.keys()].sort((a, b) => a - b)).toEqual(kept);
      kept.forEach((id, i) => expect(got.get(id), `token ${id}`).toBeCloseTo(probabilities[i]!, 6));
    },
  );

  test("temperature 0 takes the most likely token, after the penalty; the first of equals", () => {
    const best = logits.indexOf(Math.max(...logits));
    const dice = random(1, "");
    expect(sample(logits, new Set(), greedy, dice)).toBe(best);
    const penalised = { ...greedy, repetitionPenalty: 100 };
    expect(sample(logits, new Set([best]), penalised, dice)).not.toBe(best);
    expect(sample(Float32Array.of(1, 3, 3), new Set(), greedy, dice)).toBe(1);
    expect([isPlainGreedy(greedy), isPlainGreedy(penalised)]).toEqual([true, false]);
  });

  test("ties at the edge of top-k: exactly k are kept, the lowest ids", () => {
    const options = { temperature: 1, topK: 2, topP: 1, repetitionPenalty: 1 };
    const drawn = new Set<number>();
    const dice = random(1, "ties");
    for (let i = 0; i < 100; i++) drawn.add(sample(Float32Array.of(0, 1, 1, 1), new Set(), options, dice));
    expect([...drawn].sort()).toEqual([1, 2]);
  });
});

describe("the stop filter", () => {
  /** What `pieces` show, and whether a stop string ended them. */
  function show(stops: readonly string[], pieces: readonly string[]): { shown: string[]; stopped: boolean } {
    const filter = stopFilter(stops);
    const shown: string[] = [];
    for (const piece of pieces) {
      const { text, stopped } = filter.push(piece);
      shown.push(text);
      if (stopped) return { shown, stopped };
    }
    return { shown: [...shown, filter.end()], stopped: false };
  }

  test("a stop string cut by tokens is never shown, a false start is", () => {
    expect(show(["</s>"], ["ab<", "/", "s>", "cd"])).toEqual({ shown: ["ab", "", ""], stopped: true });
    expect(show(["</s>"], ["ab</", "x"])).toEqual({ shown: ["ab", "</x", ""], stopped: false });
    expect(show(["</s>"], ["ab</"])).toEqual({ shown: ["ab", "</"], stopped: false });
    expect(show(["aab"], ["a", "a", "a", "b"])).toEqual({ shown: ["", "", "a", ""], stopped: true });
  });

  test("the earliest of several wins; empty ones count for nothing", () => {
    expect(show(["b", "ab"], ["xabc"])).toEqual({ shown: ["x"], stopped: true });
    expect(show(["\n\n", "User:", ""], ["Hi\nUser", ":", "x"])).toEqual({
      shown: ["Hi\n", ""],
      stopped: true,
    });
    expect(show([""], ["a", "b"])).toEqual({ shown: ["a", "b", ""], stopped: false });
  });

  test("however a text is cut, what is shown is the text before the first stop string", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "茶"), maxLength: 12 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "茶"), minLength: 1, maxLength: 3 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(letters, stops, fc.array(fc.nat({ max: 3 })), (text, wanted, sizes) => {
        const pieces: string[] = [];
        for (let at = 0, i = 0; at < text.length; i++) {
          const size = sizes[i] ?? 1;
          pieces.push(text.slice(at, at + size));
          at += size;
        }
        // Of stop strings that become complete at one character the earliest start counts.
        let end = Infinity;
        let from = text.length;
        for (const piece of piecesEnds(pieces)) {
          const starts = wanted.map((stop) => text.slice(0, piece).indexOf(stop)).filter((i) => i >= 0);
          if (starts.length === 0 || piece > end) continue;
          [end, from] = [piece, Math.min(...starts)];
        }
        const { shown, stopped } = show(wanted, pieces);
        expect({ text: shown.join(""), stopped }).toEqual({
          text: text.slice(0, from),
          stopped: end !== Infinity,
        });
      }),
    );
  });
});

function piecesEnds(pieces: readonly string[]): number[] {
  let end = 0;
  return pieces.map((piece) => (end += piece.length));
}

describe("replies on an engine that recites", () => {
  const tokenizer = smallTokenizer();
  const endId = tokenizer.eosId!;
  const renderer = { tokenizer, stopIds: [endId] };
  const options: ReplyOptions = { ...greedy, maxNewTokens: 40, stopStrings: [], seed: 1 };

  /** An engine that answers prompt [n, …] with script n, and checks that its slots are used as they must be. */
  function reciter(scripts: readonly (readonly number[])[], slots: number, capacity = 100) {
    const state: ({ script: readonly number[]; at: number; length: number; fed: number[] } | undefined)[] =
      [];
    const log: string[] = [];
    const next = (slot: number, wantLogits: boolean) => {
      const { script, at } = state[slot]!;
      const best = script[at] ?? endId;
      const logits = Float32Array.from({ length: tokenizer.vocabularySize }, (_, id) =>
        id === best ? 5 : id % 3,
      );
      return { best, logits: wantLogits ? logits : undefined };
    };
    const engine: GenerationEngine = {
      slots,
      capacity,
      prefill: async (prompts, wantLogits, signal) => {
        signal?.throwIfAborted();
        log.push(`prompts ${prompts.map(({ slot, ids }) => `${ids[0]} in ${slot}`).join()}`);
        return prompts.map(({ slot, ids }) => {
          expect(state[slot]).toBeUndefined();
          state[slot] = { script: scripts[ids[0]!]!, at: 0, length: ids.length, fed: [] };
          return next(slot, wantLogits);
        });
      },
      release: (slot) => {
        log.push(`slot ${slot} ends`);
        state[slot] = undefined;
      },
      decode: async (steps, wantLogits, signal) => {
        signal?.throwIfAborted();
        log.push(`decode ${steps.map(({ slot }) => slot).join()}`);
        return steps.map(({ slot, token }) => {
          const one = state[slot]!;
          one.fed.push(token);
          one.at += 1;
          one.length += 1;
          expect(one.length).toBeLessThanOrEqual(capacity);
          return next(slot, wantLogits);
        });
      },
      useAdapter: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
    return { engine, log };
  }

  async function replies(
    texts: readonly (string | readonly number[])[],
    changes: Partial<ReplyOptions> = {},
    slots = 2,
    capacity = 100,
  ) {
    const scripts = texts.map((text) =>
      typeof text === "string" ? [...tokenizer.encode(text), endId] : text,
    );
    const { engine, log } = reciter(scripts, slots, capacity);
    const streamed = new Map<number, string>();
    const done = new Map<number, Extract<ReplyEvent<number>, { type: "reply" }>>();
    const requests = texts.map((_, key) => ({ key, ids: [key, 7, 7] }));
    for await (const event of generateReplies(engine, renderer, requests, { ...options, ...changes })) {
      if (event.type === "reply") done.set(event.key, event);
      else streamed.set(event.key, (streamed.get(event.key) ?? "") + event.text);
    }
    // What streams is what is told at the end, always.
    for (const [key, { text }] of done) expect(streamed.get(key) ?? "").toBe(text);
    return { log, replies: texts.map((_, key) => done.get(key)!), order: [...done.keys()] };
  }

  test("text comes whole, the stop token ends it and is in neither ids nor text", async () => {
    const text = "Hello, 你好 🫖! Ünïcode";
    const { replies: got } = await replies([text, ""]);
    expect(got[0]).toMatchObject({
      text,
      stoppedBy: "stop token",
      promptTokens: 3,
      ids: tokenizer.encode(text),
    });
    expect(got[1]).toMatchObject({ text: "", stoppedBy: "stop token", ids: [] });
  });

  test("characters of several tokens come out whole, one that never ends becomes U+FFFD", async () => {
    const ids = tokenizer.encode("a🫖");
    expect(ids.length).toBeGreaterThan(2);
    const scripts = [[...ids, endId], [...ids.slice(0, -1), endId], ids];
    const { engine } = reciter(scripts, 1);
    const pieces: string[][] = [[], [], []];
    const requests = [0, 1, 2].map((key) => ({ key, ids: [key] }));
    const limits = { ...options, maxNewTokens: ids.length - 1 };
    for await (const event of generateReplies(engine, renderer, requests.slice(0, 2), options))
      if (event.type === "text") pieces[event.key]!.push(event.text);
    for await (const event of generateReplies(engine, renderer, requests.slice(2), limits))
      if (event.type === "text") pieces[event.key]!.push(event.text);
    expect(pieces[0]).toEqual(["a", "🫖"]);
    // By a stop token or by the length limit: the same.
    expect(pieces[1]!.join("")).toBe("a\uFFFD");
    expect(pieces[2]!.join("")).toBe("a\uFFFD");
  });

  test("slots are refilled as replies end, so a long reply holds up nobody", async () => {
    const {
      log,
      replies: got,
      order,
    } = await replies(
      ["abc", "a", "b", "c"].map((text) => [...text].flatMap((c) => tokenizer.encode(c))),
      { maxNewTokens: 3 },
    );
    expect(got.map(({ text }) => text)).toEqual(["abc", "a", "b", "c"]);
    expect(order).toEqual([1, 0, 2, 3]);
    expect(log).toMatchInlineSnapshot(`
      [
        "prompts 0 in 0,1 in 1",
        "decode 0,1",
        "slot 1 ends",
        "prompts 2 in 1",
        "decode 0,1",
        "slot 0 ends",
        "slot 1 ends",
        "prompts 3 in 0",
        "decode 0",
        "slot 0 ends",
      ]
    `);
  });

  test("slots are filled together, as many prompts as one pass reads well, whatever their order", async () => {
    const lengths = [...Array.from({ length: 24 }, () => 40), 700, 700, 30, 30];
    const scripts = lengths.map((_, i) => [...tokenizer.encode("abcdefgh".slice(0, 1 + (i % 8))), endId]);
    const { engine, log } = reciter(scripts, 24, 1000);
    const requests = lengths.map((length, key) => ({ key, ids: [key, ...Array(length - 1).fill(7)] }));
    const seen: number[] = [];
    for await (const event of generateReplies(engine, renderer, requests, options))
      if (event.type === "reply") {
        seen.push(event.key);
        expect(event.text).toBe("abcdefgh".slice(0, 1 + (event.key % 8)));
      }
    expect(seen.toSorted((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
    const passes = log.filter((line) => line.startsWith("prompts")).map((line) => line.split(",").length);
    // 24 prompts of 40 tokens are too many for one pass of 768, and a prompt of 700 goes alone.
    expect(passes).toMatchInlineSnapshot(`
      [
        19,
        5,
        1,
        1,
        2,
      ]
    `);
  });

  test("the limits: new tokens, and the slot's capacity", async () => {
    const text = "one two three four";
    const ids = tokenizer.encode(text);
    const short = await replies([text], { maxNewTokens: 2 });
    expect(short.replies[0]).toMatchObject({ stoppedBy: "length", ids: ids.slice(0, 2) });
    const tight = await replies([text], {}, 1, 6);
    expect(tight.replies[0]).toMatchObject({ stoppedBy: "length", ids: ids.slice(0, 3) });
  });

  test("stop strings across token borders, and text held back at the end is given", async () => {
    const { replies: got } = await replies(["fine.\nUser: more", "fine.\nUs", "User:"], {
      stopStrings: ["\nUser:", "User:"],
    });
    expect(got.map(({ text, stoppedBy }) => [text, stoppedBy])).toEqual([
      ["fine.", "stop string"],
      ["fine.\nUs", "stop token"],
      ["", "stop string"],
    ]);
  });

  test("a sampled reply depends on seed and position, not on its neighbours", async () => {
    const texts = ["abcdef", "ghi", "jklmno", "p"];
    const sampled = { temperature: 1.5, maxNewTokens: 8 };
    const alone = await replies(texts, sampled, 1);
    const together = await replies(texts, sampled, 3);
    const ids = (run: typeof alone) => run.replies.map((reply) => reply.ids);
    expect(ids(together)).toEqual(ids(alone));
    expect(ids(await replies(texts, { ...sampled, seed: 2 }, 1))).not.toEqual(ids(alone));
  });

  test("requests may arrive one by one; none at all is fine; an abort ends it", async () => {
    const { engine } = reciter([[endId], [endId]], 2);
    async function* arriving() {
      yield { key: "x", ids: [0] };
      yield { key: "y", ids: [1] };
    }
    const keys: string[] = [];
    for await (const event of generateReplies(engine, renderer, arriving(), options)) keys.push(event.key);
    expect(keys).toEqual(["x", "y"]);
    for await (const _ of generateReplies(engine, renderer, [], options)) expect.fail("nothing was asked");
    const aborted = generateReplies(engine, renderer, [{ key: 0, ids: [0] }], options, AbortSignal.abort());
    await expect(aborted.next()).rejects.toThrow();
  });
});
