/** Buffers of small graphs, counted by hand; what the arena makes of takes and gives written out. */
import { describe, expect, it } from "vitest";
import { GraphBuilder, byteCounter, symbolSizes } from "../graph/index.ts";
import { Arena } from "./arena.ts";
import { type BufferEvent, bufferEvents, executionOrder, liveBytes } from "./memory-plan.ts";

const kibi = 1024;
const mebi = 1024 * kibi;
/** T = 256 makes [T, 256] float32 a quarter of a mebibyte. */
const sizes = new Map([["T", 256]]);
const quarter = 256 * kibi;

describe("the buffers of a run", () => {
  it("holds two results of a chain of sums at a time: arithmetic never stands in its operand's place", () => {
    const g = new GraphBuilder();
    let x = g.input("x", "float32", ["T", 256]);
    for (let i = 0; i < 6; i++) x = g.add(x, 1);
    g.output("y", g.sum(x, [0, 1]));
    const events = bufferEvents(g.build(), sizes);
    expect(liveBytes(events)).toBe(2 * quarter);
    // The third sum stands where the first was: two buffers and the result.
    expect(events.filter(({ bytes }) => bytes > 0)).toHaveLength(3);
  });

  it("holds one result of a chain of activations: each stands where its operand was", () => {
    const g = new GraphBuilder();
    let x = g.mul(g.input("x", "float32", ["T", 256]), 2);
    for (let i = 0; i < 6; i++) x = g.sigmoid(x);
    g.output("y", g.sum(x, [0, 1]));
    expect(liveBytes(bufferEvents(g.build(), sizes))).toBe(quarter + 4);
  });

  it("keeps what is read again later, as the backward pass reads the forward pass", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T", 256]);
    const kept = [g.mul(x, 2), g.mul(x, 3), g.mul(x, 4)];
    const sum = kept.reduce((a, b) => g.add(a, b));
    const read = kept.reduce((a, b) => g.mul(a, b), sum);
    g.output("y", g.sum(read, [0, 1]));
    // Three kept, the sum, and the product that is being formed from it.
    expect(liveBytes(bufferEvents(g.build(), sizes))).toBe(5 * quarter);
  });

  it("counts rows of an input as nothing, and the barriers before them", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T", 256]);
    const table = g.input("table", "float32", [4096, 256]);
    const rows = g.slice(g.barrier(table, x), 0, 1024, 2048);
    g.output("y", g.sum(g.matmul(x, rows, { transB: true }), [0, 1]));
    const scores = 256 * 1024 * 4;
    expect(liveBytes(bufferEvents(g.build(), sizes))).toBe(scores + 4);
  });

  it("counts views as nothing, outputs as held to the end, a choice with both of its halves", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T", 256]);
    const mask = g.input("mask", "bool", ["T", 256]);
    g.output("view", g.mul(g.reshape(x, [256, "T"]), 2));
    g.output("chosen", g.where(mask, x, 0));
    const events = bufferEvents(g.build(), sizes);
    // The last output comes first, with two more of its size; the other beside it alone.
    expect(liveBytes(events)).toBe(3 * quarter);
    const held = new Set(events.filter(({ bytes }) => bytes > 0).map(({ buffer }) => buffer));
    for (const { buffer, bytes } of events) if (bytes === 0) held.delete(buffer);
    expect(held.size).toBe(2);
  });

  it("reuses by symbolic shape alone: equal sizes of another shape get a buffer of their own", () => {
    const g = new GraphBuilder();
    const a = g.input("a", "float32", ["T", 256]);
    const first = g.sum(g.mul(a, 2), [0], true);
    const b = g.mul(g.add(g.input("b", "float32", ["T", 128]), first.shape.length), 2);
    g.output("y", g.add(g.sum(g.mul(b, 1), [0, 1]), g.sum(first, [0, 1])));
    const taken = bufferEvents(g.build(), sizes).filter(({ bytes }) => bytes >= quarter / 2);
    expect(taken.map(({ bytes }) => bytes).sort((one, two) => one - two)).toEqual([
      quarter / 2,
      quarter / 2,
      quarter,
    ]);
  });

  it("runs depth first from the last result, the latest operand first", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T"]);
    const [one, two] = [g.mul(x, 2), g.mul(x, 3)];
    const late = g.mul(x, 4);
    g.output("y", g.add(g.add(one, two), late));
    const graph = g.build();
    const at = new Map(executionOrder(graph).map((node, index) => [node.outputs[0], index]));
    // Their sum is younger than `late`.
    expect([two, one, late].map((value) => at.get(value))).toEqual([0, 1, 3]);
    expect(executionOrder(graph)).toHaveLength(graph.nodes.length);
  });
});

describe("the arena", () => {
  const take = (buffer: number, bytes: number): BufferEvent => ({ buffer, bytes });
  const give = (buffer: number): BufferEvent => ({ buffer, bytes: 0 });

  it("keeps what it touched and touches it again before anything new", () => {
    const arena = new Arena();
    const run = [take(0, quarter), take(1, quarter), give(0), take(2, quarter), give(1), give(2)];
    arena.run(run);
    expect(arena.residentBytes).toBe(2 * quarter);
    arena.run(run);
    expect(arena.residentBytes).toBe(2 * quarter);
    arena.run([take(0, 3 * quarter)]);
    // The two quarters lie side by side, and the third behind them in the same first region.
    expect(arena.residentBytes).toBe(3 * quarter);
  });

  it("cannot use a gap that is too small, nor half of one that is not twice as large", () => {
    const arena = new Arena();
    arena.run([take(0, 300 * kibi), take(1, 256), give(0), take(2, 200 * kibi), take(3, 90 * kibi)]);
    // Buffer 2 takes the whole gap of 300, so buffer 3 goes behind.
    expect(arena.residentBytes / kibi).toBeCloseTo(300 + 92, -1);
  });

  it("doubles its regions, of which only what is written counts", () => {
    const arena = new Arena();
    arena.run([take(0, 5 * mebi)]);
    expect(arena.residentBytes).toBe(5 * mebi);
    arena.run([take(0, 3 * mebi), take(1, 3 * mebi)]);
    // 8 mebibytes were reserved: both fit, one of them beyond what was written before.
    expect(arena.residentBytes).toBe(6 * mebi);
  });
});

describe("the sizes of a graph", () => {
  it("come from the shapes of inputs, alone or as a multiple; bytes follow", () => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", ["T", "4*C"]);
    g.output("y", g.add(x, x));
    const found = symbolSizes(g.build(), { x: { shape: [10, 24] } });
    expect([...found]).toEqual([
      ["T", 10],
      ["C", 6],
    ]);
    expect(byteCounter(found)(x)).toBe(4 * 10 * 24);
  });
});
