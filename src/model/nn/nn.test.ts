/** The layers with gradients of their own, against plain formulas and central differences in float64. */
import { describe, expect, test } from "vitest";
import { gradients } from "../../compute/autodiff/index.ts";
import { type Graph, GraphBuilder, type Value } from "../../compute/graph/index.ts";
import { type Wide, interpret, widen } from "../../compute/runtime/index.ts";
import { float32, int64 } from "../../compute/tensor/index.ts";
import { random } from "../../util/index.ts";
import { causalMask, flatBatch } from "../decoder/index.ts";
import {
  attention,
  crossEntropy,
  inputWeights,
  type Linear,
  int8Linear,
  int8LinearIn,
  int8Mlp,
  joinGradients,
  joinHeads,
  linear,
  lora,
  mlp,
  parameterLayout,
  parameterViews,
  rotaryTables,
  rotate,
  scope,
  selectRows,
  sliceParameters,
  splitKeys,
  splitQueries,
} from "./index.ts";

function noise(name: string, shape: readonly number[]): Wide {
  const dice = random(1, name);
  const data = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => dice.normal());
  return { dtype: "float32", shape, data };
}

/** Between 0.05 and 0.2. */
function positive(name: string, shape: readonly number[]): Wide {
  const { data } = noise(name, shape);
  return { dtype: "float32", shape, data: data.map((value) => 0.1 * 2 ** Math.tanh(value)) };
}

/** Σ x ⊙ noise: a scalar that depends on every element in its own way. */
function weighed(g: GraphBuilder, x: Value, feeds: Record<string, Wide>, shape: readonly number[]): Value {
  feeds["ct"] = noise("ct", shape);
  const axes = shape.map((_, axis) => axis);
  return g.sum(g.mul(x, g.input("ct", "float32", x.shape)), axes);
}

/** Checks the outputs `d:NAME` of a graph with the output `loss` against differences by the inputs of those names. */
function expectDifferences(graph: Graph, feeds: Record<string, Wide>): void {
  const computed = interpret(graph, feeds);
  const names = [...graph.outputs.keys()].flatMap((name) => (name.startsWith("d:") ? [name.slice(2)] : []));
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    const x = feeds[name]!;
    const direction = noise(`direction ${name}`, x.shape).data;
    const at = (step: number): number =>
      interpret(graph, { ...feeds, [name]: { ...x, data: x.data.map((v, i) => v + step * direction[i]!) } })[
        "loss"
      ]!.data[0]!;
    const measured = (at(1e-5) - at(-1e-5)) / 2e-5;
    const gradient = computed[`d:${name}`]!.data;
    const along = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
    expect(Math.abs(measured - along) / (1 + Math.abs(along)), `gradient by ${name}`).toBeLessThan(1e-6);
  }
}

function differentiate(g: GraphBuilder, loss: Value, wrt: readonly Value[]): Graph {
  g.output("loss", loss);
  gradients(g, loss, wrt).forEach((gradient, i) => g.output(`d:${wrt[i]!.name}`, gradient));
  return g.build();
}

describe("attention", () => {
  const [B, S, heads, kvHeads, E] = [2, 6, 4, 2, 4];
  const feedsOf = (window: number): Record<string, Wide> => ({
    q: noise("q", [B, heads, S, E]),
    k: noise("k", [B, kvHeads, S, E]),
    v: noise("v", [B, kvHeads, S, E]),
    mask: widen(causalMask(S, window)),
  });
  const build = (chunks: number, feeds: Record<string, Wide>): { graph: Graph } => {
    const g = new GraphBuilder();
    // The interpreter does not solve 2*C = 6 for C: chunks need sizes in numbers.
    const length = chunks === 1 ? "S" : S;
    const [q, k, v] = [heads, kvHeads, kvHeads].map((count, i) =>
      g.input("qkv"[i]!, "float32", ["B", count, length, E]),
    ) as [Value, Value, Value];
    const mask = g.input("mask", "float32", [1, 1, length, length]);
    const y = attention(g, [q, k, v], mask, chunks);
    g.output("y", y);
    return { graph: differentiate(g, weighed(g, y, feeds, [B, heads, S, E]), [q, k, v]) };
  };

  /** softmax(q kᵀ / √E) v, written out. */
  function plain({ q, k, v }: Record<string, Wide>, window: number): number[] {
    const result: number[] = [];
    for (let b = 0; b < B; b++) {
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < S; i++) {
          const kv = Math.floor(h / (heads / kvHeads));
          const row = (x: Wide, count: number, s: number, head: number): Float64Array =>
            x.data.subarray(((b * count + head) * S + s) * E, ((b * count + head) * S + s + 1) * E);
          const seen = Array.from({ length: i + 1 }, (_, j) => j).filter((j) => j > i - window);
          const scores = seen.map((j) => {
            const key = row(k!, kvHeads, j, kv);
            return row(q!, heads, i, h).reduce((sum, x, e) => sum + x * key[e]!, 0) / Math.sqrt(E);
          });
          const exps = scores.map(Math.exp);
          const mass = exps.reduce((a, c) => a + c);
          for (let e = 0; e < E; e++)
            result.push(seen.reduce((sum, j, n) => sum + (exps[n]! / mass) * row(v!, kvHeads, j, kv)[e]!, 0));
        }
      }
    }
    return result;
  }

  test.each([
    [1, Infinity],
    [2, Infinity],
    [3, 2],
    [6, 3],
  ])("in %i chunks, window %d: the formula's values, and its differences", (chunks, window) => {
    const feeds = feedsOf(window);
    const { graph } = build(chunks, feeds);
    const got = interpret(graph, feeds)["y"]!.data;
    plain(feeds, window).forEach((value, i) => expect(got[i]).toBeCloseTo(value, 10));
    expectDifferences(graph, feeds);
  });
});

describe("cross-entropy", () => {
  const [R, D, V] = [6, 4, 7];
  const labels = [3, 0, 6, 6, 2, 0];
  const feedsOf = (scale = 1): Record<string, Wide> => ({
    hidden: { ...noise("hidden", [R, D]), data: noise("hidden", [R, D]).data.map((x) => x * scale) },
    table: noise("table", [V, D]),
    labels: widen(int64([R], labels)),
    weights: widen(float32([R], [1, 2, 0.5, 0, 1, 0])),
  });
  const build = (chunks: number, tableTrainable: boolean, block?: number): Graph => {
    const g = new GraphBuilder();
    const rows = chunks === 1 ? "R" : R;
    const hidden = g.input("hidden", "float32", [rows, D]);
    const table = g.input("table", "float32", [V, D]);
    const targets = {
      labels: g.input("labels", "int64", [rows]),
      weights: g.input("weights", "float32", [rows]),
    };
    const loss = g.mul(crossEntropy(g, hidden, table, targets, { chunks, tableTrainable, block }), 3);
    return differentiate(g, loss, tableTrainable ? [hidden, table] : [hidden]);
  };
  const plain = ({ hidden, table, weights }: Record<string, Wide>): number =>
    labels.reduce((sum, label, r) => {
      const logits = Array.from({ length: V }, (_, v) =>
        Array.from({ length: D }, (_d, d) => hidden!.data[r * D + d]! * table!.data[v * D + d]!).reduce(
          (a, b) => a + b,
        ),
      );
      const top = Math.max(...logits);
      const logSum = top + Math.log(logits.reduce((mass, z) => mass + Math.exp(z - top), 0));
      return sum + 3 * weights!.data[r]! * (logSum - logits[label]!);
    }, 0);

  test.each([
    [1, false, undefined],
    [1, true, undefined],
    [3, true, undefined],
    [6, false, undefined],
    [1, false, 3],
    [2, false, 2],
    [1, false, 1],
  ])("in %i chunks, table trained: %s, blocks of %s rows", (chunks, trainable, block) => {
    const graph = build(chunks, trainable, block);
    expect(interpret(graph, feedsOf())["loss"]!.data[0]).toBeCloseTo(plain(feedsOf()), 10);
    expectDifferences(graph, feedsOf());
  });

  test.each([7, 2])(
    "logits in the hundreds overflow nothing, in blocks of %i; rows of weight 0 have no gradient",
    (block) => {
      const feeds = feedsOf(300);
      const { loss, "d:hidden": dHidden } = interpret(build(1, false, block), feeds);
      expect(loss!.data[0]! / plain(feeds)).toBeCloseTo(1, 10);
      expect(Math.max(...loss!.data)).toBeGreaterThan(100);
      const off = [3, 5].flatMap((row) => [...dHidden!.data.subarray(row * D, (row + 1) * D)]);
      expect(Math.max(...off.map(Math.abs))).toBe(0);
    },
  );
});

describe("rows", () => {
  test("heads split and joined is the identity, and so is its gradient; other places have a cotangent of 0", () => {
    // Three sequences of 2, 3 and 3 tokens, padded to 3, two heads of width 2; the last two share their first token.
    const batch = flatBatch(
      [
        { ids: [1, 2], weights: [0, 1] },
        { ids: [3, 4, 5], weights: [0, 0, 1] },
        { ids: [3, 6, 7], weights: [0, 0, 1] },
      ],
      { heads: 2, kvHeads: 2, layerAttention: ["full"] },
      { queryChunks: 1, lossChunks: 1 },
    );
    expect(batch.tokens).toBe(7);
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T", 4]);
    const places = g.input("queryPlaces", "int64", ["B", 2, "S"]);
    const padding = {
      queryPlaces: places,
      keyPlaces: places,
      queryTokens: g.input("queryTokens", "int64", ["T", 2]),
      keyTokens: g.input("keyTokens", "int64", ["T", 2]),
      sharedPlaces: g.input("sharedPlaces", "int64", ["N", "U"]),
      sharedReal: g.input("sharedReal", "float32", ["N", "U", 1]),
      firstPlace: g.input("firstPlace", "float32", ["B", 1, "S", 1]),
    };
    const queries = splitQueries(g, x, padding);
    const keys = splitKeys(g, x, padding);
    const back = joinHeads(g, queries, padding);
    g.output("back", back);
    g.output("keys", keys);
    const feeds: Record<string, Wide> = { x: noise("x", [7, 4]) };
    for (const name of Object.keys(padding))
      if (name !== "keyPlaces") feeds[name] = widen(batch.feeds[name]!);
    const loss = weighed(g, back, feeds, [7, 4]);
    gradients(g, loss, [x, queries]).forEach((gradient, i) => g.output(`d${i}`, gradient));
    const kept = g.input("keyWeights", "float32", ["B", 2, "S", 2]);
    feeds["keyWeights"] = noise("keyWeights", [3, 2, 3, 2]);
    const keyLoss = g.sum(g.mul(keys, kept), [0, 1, 2, 3]);
    g.output("dx", gradients(g, keyLoss, [x])[0]!);
    const out = interpret(g.build(), feeds);
    expect(out["back"]!.data).toEqual(feeds["x"]!.data);
    expect(out["d0"]!.data).toEqual(feeds["ct"]!.data);
    // Row 1, head 1, place 2 is token 4's second head; row 0's third place is padding, row 2's first repeats token 2.
    expect(out["keys"]!.data.subarray(22, 24)).toEqual(feeds["x"]!.data.subarray(18, 20));
    expect(out["keys"]!.data.subarray(24, 26)).toEqual(feeds["x"]!.data.subarray(8, 10));
    for (const at of [4, 10, 24, 30])
      expect([...out["d1"]!.data.subarray(at, at + 2)].map(Math.abs)).toEqual([0, 0]);
    // The shared token's key has the cotangents of both its places: rows 1 and 2, place 0, heads 0 and 1.
    const w = feeds["keyWeights"]!.data;
    const sum = (a: number, b: number): number => w[a]! + w[b]!;
    expect([...out["dx"]!.data.subarray(8, 12)]).toEqual([
      sum(12, 24),
      sum(13, 25),
      sum(18, 30),
      sum(19, 31),
    ]);
    expect([...out["dx"]!.data.subarray(12, 14)]).toEqual([...w.subarray(14, 16)]);
  });

  test("selected rows: rows that pad the last chunk give token 0 nothing", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T", 2]);
    const selected = selectRows(g, x, {
      rows: g.input("rows", "int64", ["R"]),
      rowOfToken: g.input("rowOfToken", "int64", ["T"]),
      tokenSelected: g.input("tokenSelected", "float32", ["T", 1]),
    });
    const feeds: Record<string, Wide> = {
      x: noise("x", [4, 2]),
      // Tokens 1 and 3; the third row pads and reads token 0.
      rows: widen(int64([3], [1, 3, 0])),
      rowOfToken: widen(int64([4], [0, 0, 0, 1])),
      tokenSelected: widen(float32([4, 1], [0, 1, 0, 1])),
    };
    const loss = weighed(g, selected, feeds, [3, 2]);
    g.output("dx", gradients(g, loss, [x])[0]!);
    const { dx } = interpret(g.build(), feeds);
    const ct = feeds["ct"]!.data;
    expect([...dx!.data].map((v) => v + 0)).toEqual([0, 0, ct[0], ct[1], 0, 0, ct[2], ct[3]]);
  });
});

describe("LoRA", () => {
  const build = (merged: boolean, bias: boolean): Graph => {
    const g = new GraphBuilder();
    const root = scope(g, inputWeights(g), "layer");
    const adapted = lora(linear, { rank: 2, scale: 1.5, adapts: () => true, merged });
    const x = g.input("x", "float32", ["T", 3]);
    const y = adapted(root, x, 4, bias);
    g.output("y", y);
    const ct = g.input("ct", "float32", ["T", 4]);
    const loss = g.sum(g.mul(y, ct), [0, 1]);
    const wrt = [x, root.weight("lora_A.weight", [2, 3]), root.weight("lora_B.weight", [4, 2])];
    return differentiate(g, loss, wrt);
  };
  const feedsOf = (bias: boolean): Record<string, Wide> => ({
    x: noise("x", [5, 3]),
    ct: noise("ct", [5, 4]),
    "layer.weight": noise("w", [4, 3]),
    "layer.lora_A.weight": noise("a", [2, 3]),
    "layer.lora_B.weight": noise("b", [4, 2]),
    ...(bias ? { "layer.bias": noise("bias", [4]) } : {}),
  });

  test.each([true, false])("merged and as two products: one function, one gradient; bias: %s", (bias) => {
    const [merged, thin] = [build(true, bias), build(false, bias)].map((graph) =>
      interpret(graph, feedsOf(bias)),
    ) as [Record<string, Wide>, Record<string, Wide>];
    for (const [name, { data }] of Object.entries(thin))
      data.forEach((value, i) => expect(merged[name]!.data[i], name).toBeCloseTo(value, 10));
    expectDifferences(build(true, bias), feedsOf(bias));
    expectDifferences(build(false, bias), feedsOf(bias));
  });

  test("layers it does not adapt are the base alone", () => {
    const g = new GraphBuilder();
    const adapts = (path: string): boolean => path === "other";
    lora(linear, { rank: 2, scale: 1, adapts, merged: true })(
      scope(g, inputWeights(g), "layer"),
      g.input("x", "float32", ["T", 3]),
      4,
    );
    expect(g.build().inputs.map(({ name }) => name)).toEqual(["x", "layer.weight"]);
  });

  test("merging is refused where it would be wrong", () => {
    const options = { rank: 2, scale: 1, adapts: () => true, merged: true };
    expect(() => lora(linear, { ...options, dropout: { keep: (_, x) => x, scale: 1 } })).toThrow(
      "no dropout",
    );
    expect(() => lora((_, x) => x, options)).toThrow("plain weights");
  });
});

test("the gated layer: down(silu(gate x) ⊙ up x)", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["T", 2]);
  g.output("y", mlp(linear)(scope(g, inputWeights(g), "mlp"), x, 3, false));
  const feeds = {
    x: noise("x", [1, 2]),
    "mlp.gate_proj.weight": noise("gate", [3, 2]),
    "mlp.up_proj.weight": noise("up", [3, 2]),
    "mlp.down_proj.weight": noise("down", [2, 3]),
  };
  const dot = (w: Wide, row: number, v: ArrayLike<number>): number =>
    Array.from(v, (value, i) => value * w.data[row * v.length + i]!).reduce((a, b) => a + b);
  const inner = [0, 1, 2].map((f) => {
    const gate = dot(feeds["mlp.gate_proj.weight"], f, feeds.x.data);
    return (gate / (1 + Math.exp(-gate))) * dot(feeds["mlp.up_proj.weight"], f, feeds.x.data);
  });
  const got = interpret(g.build(), feeds)["y"]!.data;
  [0, 1].forEach((row) => expect(got[row]).toBeCloseTo(dot(feeds["mlp.down_proj.weight"], row, inner), 10));
});

test.each([false, true])("the gated layer in 8 bits is three 8-bit layers; down in float32: %s", (float) => {
  const layers: Linear = (scope, ...rest) =>
    (float && scope.path === "mlp.down_proj" ? int8LinearIn("float32", "int8") : int8Linear)(scope, ...rest);
  const [tokens, hidden, width] = [5, 6, 8];
  const feeds: Record<string, Wide> = {
    x: noise("x", [tokens, hidden]),
    "mlp.gate_up.smoothing": positive("s", [hidden]),
    "mlp.down_proj.smoothing": positive("t", [width]),
  };
  for (const [part, shape] of [
    ["gate_proj", [width, hidden]],
    ["up_proj", [width, hidden]],
    ["down_proj", [hidden, width]],
  ] as const) {
    const codes = noise(part, shape).data.map((value) => Math.round(Math.tanh(value) * 127));
    feeds[`mlp.${part}.weight.int8`] = { dtype: "int8", shape, data: codes };
    feeds[`mlp.${part}.weight.scale`] = positive(part, [shape[0]]);
  }
  const [apart, together] = [mlp(layers), int8Mlp(() => float)].map((feedForward) => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [tokens, hidden]);
    const y = feedForward(scope(g, inputWeights(g), "mlp"), x, width, false);
    const [dx] = gradients(g, weighed(g, y, feeds, [tokens, hidden]), [x]);
    g.output("y", y);
    g.output("dx", dx!);
    return interpret(g.build(), feeds);
  });
  for (const name of ["y", "dx"]) {
    const size = Math.hypot(...apart![name]!.data);
    const gap = Math.hypot(...apart![name]!.data.map((value, i) => value - together![name]!.data[i]!));
    expect(size).toBeGreaterThan(0.1);
    // A code or two on the border between two steps may fall to the other side.
    expect(gap / size, name).toBeLessThan(1e-3);
  }
});

test("rotation: position 0 changes nothing, dot products depend on distance alone", () => {
  const { cos, sin } = rotaryTables(Float64Array.of(1, 0.1), 20);
  const turned = (vector: readonly number[], position: number): Float64Array => {
    const g = new GraphBuilder();
    const tables = { cos: g.constant(cos), sin: g.constant(sin) };
    const x = g.input("x", "float32", [1, 1, 4]);
    g.output("y", rotate(g, x, g.input("positions", "int64", [1, 1]), tables, 1));
    const feeds = { x: widen(float32([1, 1, 4], vector)), positions: widen(int64([1, 1], [position])) };
    return interpret(g.build(), feeds)["y"]!.data;
  };
  const [a, b] = [
    [1, 2, 3, 4],
    [-1, 0.5, 2, 1],
  ] as const;
  expect([...turned(a, 0)]).toEqual([...a]);
  const dot = (i: number, j: number): number =>
    turned(a, i).reduce((sum, value, e) => sum + value * turned(b, j)[e]!, 0);
  expect(dot(12, 5)).toBeCloseTo(dot(19, 12), 5);
  expect(dot(12, 5)).not.toBeCloseTo(dot(12, 6), 1);
});

test("parameters: one vector, its parts by name, and gradients joined in the same order", () => {
  const layout = parameterLayout([
    { name: "a", shape: [2, 2] },
    { name: "b", shape: [3] },
  ]);
  expect(layout).toEqual({
    entries: [
      { name: "a", shape: [2, 2], offset: 0, size: 4 },
      { name: "b", shape: [3], offset: 4, size: 3 },
    ],
    size: 7,
  });
  const flat = Float32Array.of(1, 2, 3, 4, 5, 6, 7);
  expect(parameterViews(layout, flat).get("b")).toEqual(Float32Array.of(5, 6, 7));
  const g = new GraphBuilder();
  const parts = sliceParameters(g, layout, g.input("flat", "float32", [7]));
  g.output("joined", joinGradients(g, [...parts.values()]));
  expect([...interpret(g.build(), { flat: widen(float32([7], flat)) })["joined"]!.data]).toEqual([...flat]);
});
