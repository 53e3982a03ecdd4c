/** The verifier finds each kind of fault, and the printer names it. */
import { describe, expect, test } from "vitest";
import { float32 } from "../tensor/index.ts";
import { type Graph, GraphBuilder, type Node, type Value, printGraph, verify } from "./index.ts";

function sample() {
  const builder = new GraphBuilder();
  const x = builder.input("x", "float32", ["T", 2]);
  const c = builder.constant(float32([2, 3], [1, 2, 3, 4, 5, 6]));
  builder.output("y", builder.silu(builder.matmul(x, c, { alpha: 0.5 })));
  builder.output("part", builder.slice(x, 0, 1));
  const [top] = builder.node("TopK", [x], { k: 1, axis: -1 });
  builder.output("top", top!);
  builder.op("GroupQueryAttention", attention(builder), {
    num_heads: 2,
    kv_num_heads: 1,
    do_rotary: 0,
    scale: 0,
    local_window_size: -1,
  });
  return builder.build();
}

function attention(builder: GraphBuilder): (Value | undefined)[] {
  const past = builder.input("past", "float32", ["B", 1, "P", 8]);
  return [
    builder.input("qkv", "float32", ["B", 1, 32]),
    undefined,
    undefined,
    past,
    past,
    builder.input("lengths", "int32", ["B"]),
    builder.input("total", "int32", []),
    undefined,
    undefined,
  ];
}

test("a graph prints one line a node", () => {
  expect(printGraph(sample())).toMatchInlineSnapshot(`
    "input x: float32[T, 2]
    input past: float32[B, 1, P, 8]
    input qkv: float32[B, 1, 32]
    input lengths: int32[B]
    input total: int32[]
    constant c0: float32[2, 3] = {1, 2, 3, 4, …}
    FusedMatMul_1: float32[T, 3] = FusedMatMul(x, c0, transA=0, transB=0, alpha=0.5)
    QuickGelu_2: float32[T, 3] = QuickGelu(FusedMatMul_1, alpha=1)
    Slice_3: float32[T-1, 2] = Slice(x, axis=0, start=1)
    TopK_4: float32[T, 1], TopK_5: int64[T, 1] = TopK(x, k=1, axis=-1)
    GroupQueryAttention_6: float32[B, 1, 16], GroupQueryAttention_7: float32[B, 1, P+1, 8], GroupQueryAttention_8: float32[B, 1, P+1, 8] = GroupQueryAttention(qkv, -, -, past, past, lengths, total, -, -, num_heads=2, kv_num_heads=1, do_rotary=0, scale=0, local_window_size=-1)
    output y = QuickGelu_2
    output part = Slice_3
    output top = TopK_4"
  `);
});

describe("verify", () => {
  const graph = sample();
  const [matmul, silu] = graph.nodes as [Node, Node];
  const swap = (nodes: readonly Node[]): Graph => ({ ...graph, nodes });

  test("accepts what the builder makes, and returns it", () => {
    expect(verify(graph)).toBe(graph);
  });

  test("a value read before it exists", () => {
    expect(() => verify(swap([silu, matmul, ...graph.nodes.slice(2)]))).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: QuickGelu_2: float32[T, 3] = QuickGelu(FusedMatMul_1, alpha=1): FusedMatMul_1 does not exist before it is read]`,
    );
  });

  test("a value defined twice, a name used twice", () => {
    expect(() => verify(swap([matmul, matmul]))).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: FusedMatMul_1 is defined a second time by FusedMatMul_1: float32[T, 3] = FusedMatMul(x, c0, transA=0, transB=0, alpha=0.5)]`,
    );
    const twin = { ...silu, outputs: [{ ...silu.outputs[0]!, name: "x" }] };
    expect(() => verify(swap([matmul, twin]))).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: the name x is taken a second time by x: float32[T, 3] = QuickGelu(FusedMatMul_1, alpha=1)]`,
    );
  });

  test("a result of another type or number than the op's", () => {
    const odd = { ...matmul, outputs: [{ ...matmul.outputs[0]!, shape: ["T", 4] }] };
    expect(() => verify(swap([odd]))).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: FusedMatMul_1: float32[T, 4] = FusedMatMul(x, c0, transA=0, transB=0, alpha=0.5): FusedMatMul_1 should be float32[T, 3]]`,
    );
    const half = { ...matmul, outputs: [{ ...matmul.outputs[0]!, dtype: "float16" as const }] };
    expect(() => verify(swap([half]))).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: FusedMatMul_1: float16[T, 3] = FusedMatMul(x, c0, transA=0, transB=0, alpha=0.5): FusedMatMul_1 should be float32[T, 3]]`,
    );
    expect(() => verify(swap([{ ...matmul, outputs: [] }]))).toThrowErrorMatchingInlineSnapshot(
      `[GraphError:  = FusedMatMul(x, c0, transA=0, transB=0, alpha=0.5): has 0 results, 1 are inferred]`,
    );
    expect(() =>
      verify(swap([{ ...matmul, inputs: [matmul.inputs[0]] }])),
    ).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: FusedMatMul_1: float32[T, 3] = FusedMatMul(x, transA=0, transB=0, alpha=0.5): takes 2 to 2 operands]`,
    );
  });

  test("a constant that is not what it says, an output that does not exist", () => {
    const [[value]] = [...graph.constants] as [[Value, unknown]];
    const constants = new Map([[value, float32([3, 2], [1, 2, 3, 4, 5, 6])]]);
    expect(() => verify({ ...graph, constants })).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: the constant c0: float32[2, 3] holds float32[3, 2] with 6 elements]`,
    );
    const outputs = new Map([["y", { name: "ghost", dtype: "float32", shape: [] } as const]]);
    expect(() => verify({ ...graph, outputs })).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: the output y is ghost, which does not exist]`,
    );
  });
});
