/** Collects ONNX nodes and initializers, and computes at run time the sizes that a graph leaves open. */
import type { Dim, Graph, Shape, Value } from "../graph/index.ts";
import { GraphError, canonical, termsOf } from "../graph/index.ts";
import { dtypes, int64, tensor, type Tensor } from "../tensor/index.ts";
import { type Attribute, nodeMessage } from "./messages.ts";
import type { ProtobufWriter } from "./protobuf.ts";

export class Emitter {
  readonly nodes: ProtobufWriter[] = [];
  readonly constants: { readonly name: string; readonly content: Tensor }[] = [];
  readonly #taken: Set<string>;
  /** Where each symbol is found: an axis of an input, whose size is so many times the symbol. */
  readonly #symbols = new Map<
    string,
    { readonly input: string; readonly axis: number; readonly times: number }
  >();
  readonly #cache = new Map<string, string>();
  #counter = 0;

  /** `taken` are the names that values of the graph use. */
  constructor(graph: Graph, taken: Set<string>) {
    this.#taken = taken;
    for (const input of graph.inputs) {
      for (const [axis, dim] of input.shape.entries()) {
        const [term, ...others] = termsOf(dim);
        const [symbol, ...more] = term?.symbols ?? [];
        if (symbol === undefined || others.length > 0 || more.length > 0) continue;
        const times = term!.coefficient;
        const known = this.#symbols.get(symbol);
        // An axis of the very size is best; a multiple of it tells the size too.
        if (known === undefined || (known.times !== 1 && times === 1)) {
          this.#symbols.set(symbol, { input: input.name, axis, times });
        }
      }
    }
  }

  fresh(hint: string): string {
    let name = `${hint}_x${this.#counter++}`;
    while (this.#taken.has(name)) name = `${hint}_x${this.#counter++}`;
    this.#taken.add(name);
    return name;
  }

  node(
    op: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: readonly Attribute[] = [],
    domain = "",
  ): void {
    this.nodes.push(nodeMessage(op, inputs, outputs, attributes, domain));
  }

  /** Appends a node of one output and names it. */
  op(op: string, inputs: readonly string[], attributes: readonly Attribute[] = []): string {
    const output = this.fresh(op);
    this.node(op, inputs, [output], attributes);
    return output;
  }

  #once(key: string, make: () => string): string {
    let name = this.#cache.get(key);
    if (name === undefined) {
      name = make();
      this.#cache.set(key, name);
    }
    return name;
  }

  /** An int64 [n] constant, shared by content. */
  int64s(values: readonly number[]): string {
    return this.#once(`int64s ${values.join()}`, () => this.#constant(int64([values.length], values)));
  }

  /** The greatest int64 [1]: "to the end" of a slice. */
  get end(): string {
    return this.#once("end", () => this.#constant(tensor("int64", [1], BigInt64Array.of(2n ** 63n - 1n))));
  }

  /** Minus infinity as float32 [1]. */
  get minusInfinity(): string {
    return this.#once("-inf", () => this.#constant(tensor("float32", [1], Float32Array.of(-Infinity))));
  }

  #constant(content: Tensor): string {
    const name = this.fresh("const");
    this.constants.push({ name, content });
    return name;
  }

  /** A size as int64 [1], computed from the shapes of the graph's inputs where it is not a number. */
  size(dim: Dim): string {
    if (typeof dim === "number") return this.int64s([dim]);
    return this.#once(`size ${dim}`, () => {
      const terms = termsOf(dim).map(({ coefficient, symbols }) => {
        const factors = symbols.map((symbol) => this.#symbol(symbol, dim));
        if (coefficient !== 1 || factors.length === 0) factors.push(this.int64s([coefficient]));
        return factors.reduce((left, right) => this.op("Mul", [left, right]));
      });
      return terms.reduce((left, right) => this.op("Add", [left, right]));
    });
  }

  #symbol(symbol: string, dim: Dim): string {
    const source = this.#symbols.get(symbol);
    if (source === undefined) {
      throw new GraphError(
        `the size ${dim} needs ${symbol} at run time, but no input of the graph has an axis of size ${symbol}`,
      );
    }
    return this.#once(`symbol ${symbol}`, () => {
      const size = this.op(
        "Shape",
        [source.input],
        [
          { name: "start", int: source.axis },
          { name: "end", int: source.axis + 1 },
        ],
      );
      return source.times === 1 ? size : this.op("Div", [size, this.int64s([source.times])]);
    });
  }

  /** A whole shape as int64 [rank]. */
  shape(shape: Shape): string {
    if (shape.every((dim) => typeof dim === "number")) return this.int64s(shape);
    return this.#once(`shape ${shape.join()}`, () => {
      const parts: string[] = [];
      let numbers: number[] = [];
      const flush = (): void => {
        if (numbers.length > 0) parts.push(this.int64s(numbers));
        numbers = [];
      };
      for (const dim of shape) {
        if (typeof dim === "number") numbers.push(dim);
        else {
          flush();
          parts.push(this.size(dim));
        }
      }
      flush();
      return parts.length === 1 ? parts[0]! : this.op("Concat", parts, [{ name: "axis", int: 0 }]);
    });
  }

  /**
   * What Reshape needs to give `from` the shape `to`: ONNX's 0 (copy the size of that axis) and -1 (the one
   * size that follows from the rest) save a computation; otherwise the shape is computed.
   */
  reshape(from: Value, to: Shape): { readonly shape: string; readonly allowZero: boolean } {
    if (to.includes(0)) return { shape: this.shape(to), allowZero: true };
    const encoded: number[] = [];
    for (const [axis, dim] of to.entries()) {
      if (typeof dim === "number") encoded.push(dim);
      else if (axis < from.shape.length && canonical(from.shape[axis]!) === canonical(dim)) encoded.push(0);
      else encoded.push(-1);
    }
    const open = encoded.filter((size) => size === -1).length;
    if (open > 1) return { shape: this.shape(to), allowZero: true };
    return { shape: this.int64s(encoded), allowZero: false };
  }

  /** int64 [1] that is always 0 but cannot be known before `token` has been computed. */
  zeroAfter(token: string, { dtype, shape }: Value): string {
    const open = shape.findIndex((dim) => typeof dim === "string");
    return this.#once(`zero after ${token}`, () => {
      if (open >= 0) {
        // An open size is told by the value itself; unlike its content it is known to the host.
        const ends = [
          { name: "start", int: open },
          { name: "end", int: open + 1 },
        ];
        return this.op("Mul", [this.op("Shape", [token], ends), this.int64s([0])]);
      }
      if (dtype !== "float32") token = this.op("Cast", [token], [{ name: "to", int: dtypes.float32.onnx }]);
      const flat = this.op("Reshape", [token, this.int64s([-1])]);
      const first = this.op("Slice", [flat, this.int64s([0]), this.int64s([1])]);
      const never = this.op("Less", [first, this.minusInfinity]);
      return this.op("Cast", [never], [{ name: "to", int: 7 }]);
    });
  }
}
