/** What an independent protobuf reader finds in our models. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as protobuf from "protobufjs";
import { describe, expect, test } from "vitest";
import { type Graph, GraphBuilder } from "../graph/index.ts";
import { float32, int64, tensor } from "../tensor/index.ts";
import { encodeModel, writeModel } from "./index.ts";
import { ProtobufWriter } from "./protobuf.ts";

interface Decoded {
  irVersion: string;
  producerName: string;
  opsetImport: { domain: string; version: string }[];
  metadataProps?: { key: string; value: string }[];
  graph: {
    node: {
      input: string[];
      output: string[];
      name: string;
      opType: string;
      domain?: string;
      attribute?: { name: string; type: string; i?: string; f?: number; s?: string; ints?: string[] }[];
    }[];
    initializer: {
      name: string;
      dims?: string[];
      dataType: number;
      rawData?: string;
      dataLocation?: string;
      externalData?: { key: string; value: string }[];
    }[];
    input: { name: string; type: { tensorType: { elemType: number; shape: { dim?: object[] } } } }[];
    output: { name: string; type: { tensorType: { elemType: number; shape: { dim?: object[] } } } }[];
    valueInfo?: Decoded["graph"]["output"];
  };
}

const proto = await protobuf.load(
  fileURLToPath(new URL("../../../test/fixtures/onnx.proto", import.meta.url)),
);

function decode(bytes: Uint8Array): Decoded {
  const type = proto.lookupType("onnx.ModelProto");
  return type.toObject(type.decode(bytes), { longs: String, enums: String, bytes: String }) as Decoded;
}

/** One line a node: what is read, with int64 constants spelled out, and what is done. */
function lines(graph: Graph): string[] {
  const { node, initializer = [] } = decode(encodeModel(graph).model).graph;
  const spelled = new Map(
    initializer
      .filter(({ dataType }) => dataType === 7)
      .map(({ name, rawData = "" }) => {
        const bytes = Uint8Array.from(Buffer.from(rawData, "base64"));
        return [name, `[${new BigInt64Array(bytes.buffer).join(" ")}]`];
      }),
  );
  return node.map(({ opType, input = [], output, attribute = [] }) => {
    const attributes = attribute.map(
      ({ name, i, f, s, ints }) => ` ${name}=${ints?.join() ?? s ?? f ?? i ?? 0}`,
    );
    const inputs = input.map((name) => spelled.get(name) ?? (name || "-"));
    return `${output.join(", ")} = ${opType}(${inputs.join(", ")})${attributes.join("")}`;
  });
}

function sample(): Graph {
  const builder = new GraphBuilder();
  const x = builder.input("x", "float32", ["B", "S", 4]);
  const w = builder.constant(float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]), "weight");
  const y = builder.matmul(builder.reshape(x, ["B*S", 4]), w, { transB: true, alpha: -0.5 });
  builder.output("y", builder.silu(y));
  builder.output("best", builder.op("ArgMax", [y], { axis: -1, keepdims: 0 }));
  return builder.build();
}

describe("encodeModel", () => {
  test("writes what a reader that shares no code finds", () => {
    const { model, external } = encodeModel(sample(), { metadata: { made: "测试" } });
    expect(external).toBeUndefined();
    const decoded = decode(model);
    expect(decoded).toMatchObject({
      irVersion: "10",
      producerName: "attune",
      opsetImport: [{ version: "21" }, { domain: "com.microsoft", version: "1" }],
      metadataProps: [{ key: "made", value: "测试" }],
    });
    expect(decoded.graph.input).toEqual([
      {
        name: "x",
        type: {
          tensorType: {
            elemType: 1,
            shape: { dim: [{ dimParam: "B" }, { dimParam: "S" }, { dimValue: "4" }] },
          },
        },
      },
    ]);
    expect(decoded.graph.output.map(({ name, type }) => [name, type.tensorType])).toEqual([
      ["y", { elemType: 1, shape: { dim: [{ dimParam: "size_0" }, { dimValue: "2" }] } }],
      ["best", { elemType: 7, shape: { dim: [{ dimParam: "size_0" }] } }],
    ]);
    expect(decoded.graph.initializer[0]).toEqual({
      name: "weight",
      dims: ["2", "4"],
      dataType: 1,
      rawData: Buffer.from(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer).toString("base64"),
    });
    expect(decoded.graph.node[1]).toEqual({
      input: ["Reshape_0", "weight"],
      output: ["FusedMatMul_1"],
      name: "FusedMatMul_1",
      opType: "FusedMatMul",
      domain: "com.microsoft",
      attribute: [
        { name: "transA", type: "INT" },
        { name: "transB", type: "INT", i: "1" },
        { name: "alpha", type: "FLOAT", f: -0.5 },
      ],
    });
  });

  test("names results by their outputs and reshapes by ONNX's 0 and -1", () => {
    expect(lines(sample())).toMatchInlineSnapshot(`
      [
        "Reshape_0 = Reshape(x, [-1 4])",
        "FusedMatMul_1 = FusedMatMul(Reshape_0, weight) transA=0 transB=1 alpha=-0.5",
        "y = QuickGelu(FusedMatMul_1) alpha=1",
        "best = ArgMax(FusedMatMul_1) axis=-1 keepdims=0",
      ]
    `);
  });

  test("tells the shape of every value in between, however its shape comes about", () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", "float32", ["T", 6]);
    const kept = builder.barrier(builder.reshape(x, ["2*T", 3]), builder.neg(x));
    builder.output("y", builder.exp(kept));
    const { valueInfo = [], node } = decode(encodeModel(builder.build()).model).graph;
    const shapes = valueInfo.map(({ name, type }) => {
      const dims = type.tensorType.shape.dim as { dimValue?: string; dimParam?: string }[];
      const maker = node.find(({ output }) => output.includes(name))!;
      return `${maker.opType} ${dims.map(({ dimValue, dimParam }) => dimValue ?? dimParam).join(" x ")}`;
    });
    expect(shapes).toEqual(["Reshape size_0 x 3", "Neg T x 6", "Reshape size_0 x 3"]);
  });

  test("computes open sizes once, from the inputs' shapes", () => {
    const builder = new GraphBuilder();
    const past = builder.input("past", "float32", ["P", 2]);
    const fresh = builder.input("fresh", "float32", ["S", 2]);
    const mask = builder.expand(builder.constant(float32([1, 1], [0])), ["S", "P+S"]);
    builder.output("mask", mask);
    builder.output("flat", builder.reshape(mask, ["P*S+S*S"]));
    builder.output("padded", builder.pad(past, 0, "2*S", 0));
    builder.output("again", builder.pad(fresh, 0, "2*S", "P"));
    expect(lines(builder.build())).toMatchInlineSnapshot(`
      [
        "Shape_x0 = Shape(fresh) start=0 end=1",
        "Shape_x1 = Shape(past) start=0 end=1",
        "Add_x2 = Add(Shape_x1, Shape_x0)",
        "Concat_x3 = Concat(Shape_x0, Add_x2) axis=0",
        "mask = Expand(c0, Concat_x3)",
        "flat = Reshape(mask, [-1])",
        "Mul_x6 = Mul(Shape_x0, [2])",
        "Concat_x8 = Concat(Mul_x6, [0]) axis=0",
        "padded = Pad(past, Concat_x8, -, [0])",
        "Concat_x9 = Concat(Mul_x6, Shape_x1) axis=0",
        "again = Pad(fresh, Concat_x9, -, [0])",
      ]
    `);
  });

  test("a barrier's shape waits for its token", () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", "float32", ["T", 3]);
    const token = builder.input("token", "float16", ["T"]);
    builder.output("y", builder.barrier(x, token));
    builder.output("z", builder.barrier(builder.exp(x), token, builder.input("one", "bfloat16", [1])));
    expect(lines(builder.build())).toMatchInlineSnapshot(`
      [
        "Shape_x1 = Shape(token) start=0 end=1",
        "Mul_x3 = Mul(Shape_x1, [0])",
        "Add_x4 = Add([0 0], Mul_x3)",
        "y = Reshape(x, Add_x4)",
        "Exp_1 = Exp(x)",
        "Add_x5 = Add([0 0], Mul_x3)",
        "Cast_x6 = Cast(one) to=1",
        "Reshape_x8 = Reshape(Cast_x6, [-1])",
        "Slice_x10 = Slice(Reshape_x8, [0], [1])",
        "Less_x12 = Less(Slice_x10, const_x11)",
        "Cast_x13 = Cast(Less_x12) to=7",
        "Add_x14 = Add(Add_x5, Cast_x13)",
        "z = Reshape(Exp_1, Add_x14)",
      ]
    `);
  });

  test("axis lists, bounds and counts are inputs", () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", "float32", ["T", 6]);
    builder.output("sum", builder.sum(x, [0, -1]));
    builder.output("same", builder.sum(x, []));
    builder.output("tail", builder.slice(x, 1, -2));
    builder.output("mid", builder.slice(x, 1, 1, 4));
    builder.node("TopK", [x], { k: 2, axis: -1 }).forEach((value, i) => builder.output(`top${i}`, value));
    const skip = builder.node(
      "SkipSimplifiedLayerNormalization",
      [x, x, builder.constant(float32([6], Array(6).fill(1)))],
      {
        epsilon: 1e-6,
      },
    );
    builder.output("norm", skip[0]!);
    expect(lines(builder.build())).toMatchInlineSnapshot(`
      [
        "sum = ReduceSum(x, [0 -1]) keepdims=0",
        "same = Identity(x)",
        "tail = Slice(x, [-2], [9223372036854775807], [1])",
        "mid = Slice(x, [1], [4], [1])",
        "top0, top1 = TopK(x, [2]) axis=-1 largest=1 sorted=1",
        "norm, , , SkipSimplifiedLayerNormalization_8 = SkipSimplifiedLayerNormalization(x, x, c6) epsilon=9.999999974752427e-7",
      ]
    `);
  });

  test("an output that is an input, a constant or a second name is an alias; inner names give way", () => {
    const builder = new GraphBuilder();
    const x = builder.input("x", "float32", [2]);
    const twice = builder.add(x, x);
    builder.output("copy", x);
    builder.output("first", twice);
    builder.output("second", twice);
    builder.output("Neg_1", builder.exp(builder.neg(x)));
    expect(lines(builder.build())).toMatchInlineSnapshot(`
      [
        "first = Add(x, x)",
        "Neg_1_1 = Neg(x)",
        "Neg_1 = Exp(Neg_1_1)",
        "copy = Identity(x)",
        "second = Identity(first)",
      ]
    `);
  });

  test("refuses an output with an input's name, and a size that no input tells", () => {
    const same = new GraphBuilder();
    same.output("x", same.neg(same.input("x", "float32", [1])));
    expect(() => encodeModel(same.build())).toThrow("x names both an input and an output");
    const unknown = new GraphBuilder();
    unknown.output("y", unknown.expand(unknown.input("x", "float32", [1]), ["Q"]));
    expect(() => encodeModel(unknown.build())).toThrow(
      "the size Q needs Q at run time, but no input of the graph has an axis of size Q",
    );
  });

  test("big constants go to a file beside the model, on page boundaries", async () => {
    const builder = new GraphBuilder();
    const big = Float32Array.from({ length: 1500 }, (_, i) => i);
    const x = builder.input("x", "float32", []);
    builder.output("a", builder.add(x, builder.constant(float32([1500], big), "big")));
    builder.output(
      "b",
      builder.gather(builder.constant(float32([2], [1, 2]), "small"), builder.constant(int64([1], [1]))),
    );
    builder.output("c", builder.constant(tensor("int8", [2000], new Int8Array(2000).fill(-7)), "bytes"));
    const folder = await mkdtemp(join(tmpdir(), "attune-test-"));
    try {
      await writeModel(builder.build(), join(folder, "m.onnx"), { externalFrom: 1000 });
      const { initializer } = decode(await readFile(join(folder, "m.onnx"))).graph;
      expect(
        initializer.map(({ name, dataLocation, externalData }) => [
          name,
          dataLocation,
          externalData?.map((entry) => entry.value),
        ]),
      ).toEqual([
        ["big", "EXTERNAL", ["m.onnx.data", "0", "6000"]],
        ["small", undefined, undefined],
        ["c1", undefined, undefined],
        ["bytes", "EXTERNAL", ["m.onnx.data", "8192", "2000"]],
      ]);
      const data = await readFile(join(folder, "m.onnx.data"));
      expect(data.length).toBe(10192);
      expect(new Float32Array(data.buffer, data.byteOffset, 1500)).toEqual(big);
      expect(data.subarray(8192).every((byte) => byte === 249)).toBe(true);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("ONNX's own checker finds no fault", async (ctx) => {
    const python = process.env.ATTUNE_PYTHON;
    if (python === undefined) return ctx.skip("set ATTUNE_PYTHON to a Python that has onnx");
    // FusedMatMul and QuickGelu are onnxruntime's; the checker knows ONNX's own ops.
    const builder = new GraphBuilder();
    const x = builder.input("x", "float32", ["B", "S"]);
    builder.output("y", builder.softmax(builder.barrier(builder.reshape(x, ["B*S", 1]), x), 0));
    builder.output("padded", builder.pad(x, 1, 1, "B"));
    const folder = await mkdtemp(join(tmpdir(), "attune-test-"));
    try {
      await writeFile(join(folder, "m.onnx"), encodeModel(builder.build()).model);
      const check =
        "import onnx,sys; m=onnx.load(sys.argv[1]); onnx.checker.check_model(m, full_check=True); print('ok')";
      const { stdout } = await promisify(execFile)(python, ["-c", check, join(folder, "m.onnx")]);
      expect(stdout.trim()).toBe("ok");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("ProtobufWriter", () => {
  test("numbers of every size, long strings and nested messages are read back", () => {
    const inner = proto.lookupType("onnx.TensorProto");
    const sizes = [0, 1, 127, 128, 300, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER, -1, -(2 ** 40)];
    const writer = new ProtobufWriter(1);
    for (const size of sizes) writer.int(1, size);
    writer
      .int(1, 2n ** 63n - 1n)
      .string(8, "名".repeat(5000))
      .bytes(9, new Uint8Array(10_000).fill(5));
    const graph = new ProtobufWriter().string(2, "g").message(5, writer).string(2, "h");
    const bytes = graph.join();
    expect(bytes.length).toBe(graph.length);
    const read = proto.lookupType("onnx.GraphProto").decode(bytes) as unknown as {
      initializer: protobuf.Message[];
    };
    const object = inner.toObject(read.initializer[0]!, { longs: String, bytes: Array }) as {
      dims: string[];
      name: string;
      rawData: number[];
    };
    expect(object.dims).toEqual([...sizes.map(String), "9223372036854775807"]);
    expect(object.name).toBe("名".repeat(5000));
    expect(object.rawData).toHaveLength(10_000);
    expect(object.rawData.every((byte) => byte === 5)).toBe(true);
  });
});
