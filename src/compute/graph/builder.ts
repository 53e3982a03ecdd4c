/** Builds a graph node by node; every call checks operands and infers the result's type. */
import { type DType, type Tensor, scalar, tensorBytes } from "../tensor/index.ts";
import { type Dim, type Shape, canonical, sameShape } from "./dims.ts";
import { type Graph, GraphError, type Node, type Op, type OpAttributes, type Value } from "./graph.ts";
import { describe } from "./infer.ts";
import { opTable } from "./ops/index.ts";
import { verify } from "./verify.ts";

/** Values, or plain numbers that become float32 scalars. */
export type Operand = Value | number;

/**
 * A stretch of nodes with a gradient of its own (Autograd's "custom gradient"): instead of going back
 * through the nodes, reverse mode calls `backward` with one cotangent an output (`undefined` where none
 * arrived) and takes one an input.
 */
export interface CustomGradient {
  /** The stretch [first, last) of `nodes`. */
  readonly first: number;
  readonly last: number;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly backward: (cotangents: readonly (Value | undefined)[]) => readonly (Value | undefined)[];
}

export class GraphBuilder {
  readonly #inputs: Value[] = [];
  readonly #constants = new Map<Value, Tensor>();
  readonly #constantsByContent = new Map<string, Value>();
  readonly #nodes: Node[] = [];
  readonly #outputs = new Map<string, Value>();
  readonly #customGradients: CustomGradient[] = [];
  readonly #names = new Set<string>();
  #counter = 0;

  /** The nodes so far, in order. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  get customGradients(): readonly CustomGradient[] {
    return this.#customGradients;
  }

  #value(name: string, dtype: DType, shape: Shape): Value {
    if (this.#names.has(name)) throw new GraphError(`the graph already has a value named ${name}`);
    this.#names.add(name);
    return { name, dtype, shape: shape.map(canonical) };
  }

  input(name: string, dtype: DType, shape: Shape): Value {
    const value = this.#value(name, dtype, shape);
    this.#inputs.push(value);
    return value;
  }

  /** A constant; small ones with the same content are one value. */
  constant(content: Tensor, name?: string): Value {
    const small = name === undefined && content.data.byteLength <= 256;
    const key = small
      ? `${content.dtype}[${content.shape.join()}]${Buffer.from(tensorBytes(content)).toString("base64")}`
      : "";
    const known = small ? this.#constantsByContent.get(key) : undefined;
    if (known !== undefined) return known;
    const value = this.#value(name ?? `c${this.#counter++}`, content.dtype, content.shape);
    this.#constants.set(value, content);
    if (small) this.#constantsByContent.set(key, value);
    return value;
  }

  output(name: string, value: Value): void {
    if (this.#outputs.has(name)) throw new GraphError(`the graph already has an output named ${name}`);
    this.#outputs.set(name, value);
  }

  /** Appends one node and returns all its outputs. */
  node<K extends Op>(
    op: K,
    inputs: readonly (Value | undefined)[],
    attributes: OpAttributes[K],
  ): readonly Value[] {
    const spec = opTable[op];
    const [fewest, most] = spec.arity;
    if (inputs.length < fewest || inputs.length > most) {
      throw new GraphError(
        `${op}(${inputs.map(describe).join(", ")}): takes ${fewest} to ${most} operands, got ${inputs.length}`,
      );
    }
    const outputs = spec
      .infer(inputs, attributes)
      .map(({ dtype, shape }) => this.#value(`${op}_${this.#counter++}`, dtype, shape));
    this.#nodes.push({ op, inputs, outputs, attributes } as unknown as Node);
    return outputs;
  }

  /** Appends one node and returns its first output. */
  op<K extends Op>(op: K, inputs: readonly (Value | undefined)[], attributes: OpAttributes[K]): Value {
    return this.node(op, inputs, attributes)[0]!;
  }

  /** Groups what `forward` appends and gives it the gradient `backward`. */
  custom(
    inputs: readonly Value[],
    forward: () => readonly Value[],
    backward: CustomGradient["backward"],
  ): readonly Value[] {
    const first = this.#nodes.length;
    const outputs = forward();
    this.#customGradients.push({ first, last: this.#nodes.length, inputs, outputs, backward });
    return outputs;
  }

  build(): Graph {
    return verify({
      inputs: [...this.#inputs],
      constants: new Map(this.#constants),
      nodes: [...this.#nodes],
      outputs: new Map(this.#outputs),
    });
  }

  // The vocabulary of the model code: thin names over `op`.

  lift(operand: Operand): Value {
    return typeof operand === "number" ? this.constant(scalar(operand)) : operand;
  }

  add = (a: Operand, b: Operand): Value => this.op("Add", [this.lift(a), this.lift(b)], {});
  sub = (a: Operand, b: Operand): Value => this.op("Sub", [this.lift(a), this.lift(b)], {});
  mul = (a: Operand, b: Operand): Value => this.op("Mul", [this.lift(a), this.lift(b)], {});
  div = (a: Operand, b: Operand): Value => this.op("Div", [this.lift(a), this.lift(b)], {});
  max = (a: Operand, b: Operand): Value => this.op("Max", [this.lift(a), this.lift(b)], {});
  min = (a: Operand, b: Operand): Value => this.op("Min", [this.lift(a), this.lift(b)], {});
  less = (a: Operand, b: Operand): Value => this.op("Less", [this.lift(a), this.lift(b)], {});
  greater = (a: Operand, b: Operand): Value => this.op("Greater", [this.lift(a), this.lift(b)], {});
  where = (condition: Value, a: Operand, b: Operand): Value =>
    this.op("Where", [condition, this.lift(a), this.lift(b)], {});
  neg = (x: Value): Value => this.op("Neg", [x], {});
  abs = (x: Value): Value => this.op("Abs", [x], {});
  exp = (x: Value): Value => this.op("Exp", [x], {});
  log = (x: Value): Value => this.op("Log", [x], {});
  sqrt = (x: Value): Value => this.op("Sqrt", [x], {});
  reciprocal = (x: Value): Value => this.op("Reciprocal", [x], {});
  sigmoid = (x: Value): Value => this.op("Sigmoid", [x], {});
  tanh = (x: Value): Value => this.op("Tanh", [x], {});
  cast = (x: Value, to: DType): Value => (x.dtype === to ? x : this.op("Cast", [x], { to }));
  /** x · sigmoid(x). */
  silu = (x: Value): Value => this.op("QuickGelu", [x], { alpha: 1 });

  /** alpha · op(a) · op(b): a plain MatMul when nothing is transposed or scaled. */
  matmul = (
    a: Value,
    b: Value,
    options: { transA?: boolean; transB?: boolean; alpha?: number } = {},
  ): Value => {
    const { transA = false, transB = false, alpha = 1 } = options;
    if (!transA && !transB && alpha === 1) return this.op("MatMul", [a, b], {});
    return this.op("FusedMatMul", [a, b], { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha });
  };

  softmax = (x: Value, axis = -1): Value => this.op("Softmax", [x], { axis });
  sum = (x: Value, axes: readonly number[], keepdims = false): Value =>
    this.op("ReduceSum", [x], { axes, keepdims: keepdims ? 1 : 0 });
  mean = (x: Value, axes: readonly number[], keepdims = false): Value =>
    this.op("ReduceMean", [x], { axes, keepdims: keepdims ? 1 : 0 });
  reduceMax = (x: Value, axes: readonly number[], keepdims = false): Value =>
    this.op("ReduceMax", [x], { axes, keepdims: keepdims ? 1 : 0 });

  reduceMin = (x: Value, axes: readonly number[], keepdims = false): Value =>
    this.op("ReduceMin", [x], { axes, keepdims: keepdims ? 1 : 0 });

  reshape = (x: Value, shape: Shape): Value =>
    sameShape(x.shape, shape) ? x : this.op("Reshape", [x], { shape });
  transpose = (x: Value, perm: readonly number[]): Value => this.op("Transpose", [x], { perm });
  slice = (x: Value, axis: number, start: number, end?: number): Value =>
    this.op("Slice", [x], end === undefined ? { axis, start } : { axis, start, end });
  concat = (values: readonly Value[], axis: number): Value =>
    values.length === 1 ? values[0]! : this.op("Concat", values, { axis });
  pad = (x: Value, axis: number, before: Dim, after: Dim): Value =>
    before === 0 && after === 0 ? x : this.op("Pad", [x], { axis, before, after });
  expand = (x: Value, shape: Shape): Value =>
    sameShape(x.shape, shape) ? x : this.op("Expand", [x], { shape });
  gather = (data: Value, index: Value, axis = 0): Value => this.op("Gather", [data, index], { axis });
  bitAnd = (a: Value, b: Value): Value => this.op("BitwiseAnd", [a, b], {});
  bitShift = (x: Value, bits: Value, direction: "LEFT" | "RIGHT"): Value =>
    this.op("BitShift", [x, bits], { direction });
  /** x, not available before all of `tokens`; no pass merges it with x. */
  barrier = (x: Value, ...tokens: readonly Value[]): Value => this.op("Barrier", [x, ...tokens], {});
}
