/** The element-by-element ops, as their definitions read. */
import { broadcastShapes } from "../../graph/index.ts";
import type { DType } from "../../tensor/index.ts";
import { type Wide, broadcastPositions, fill } from "./array.ts";
import type { ReferenceTable } from "./table.ts";

function broadcast(inputs: readonly Wide[]): { shape: readonly number[]; positions: readonly Int32Array[] } {
  const shape = inputs.reduce<readonly number[]>((joined, input) => {
    const next = broadcastShapes(joined, input.shape);
    if (next === undefined)
      throw new Error(`[${joined.join()}] and [${input.shape.join()}] do not broadcast`);
    return next as number[];
  }, []);
  return { shape, positions: inputs.map((input) => broadcastPositions(input.shape, shape)) };
}

const binary =
  (f: (a: number, b: number) => number, dtype?: DType) =>
  ([a, b]: readonly Wide[]) => {
    const { shape, positions } = broadcast([a!, b!]);
    const [left, right] = positions;
    return [fill(dtype ?? a!.dtype, shape, (i) => f(a!.data[left![i]!]!, b!.data[right![i]!]!))];
  };

const unary =
  (f: (x: number) => number) =>
  ([x]: readonly Wide[]) => [fill(x!.dtype, x!.shape, (i) => f(x!.data[i]!))];

const shiftLeft = binary((a, b) => a << b);
const shiftRight = binary((a, b) => a >> b);

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const elementwiseKernels = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  // Integers are truncated where they are stored.
  Div: binary((a, b) => a / b),
  Max: binary(Math.max),
  Min: binary(Math.min),
  Less: binary((a, b) => (a < b ? 1 : 0), "bool"),
  Greater: binary((a, b) => (a > b ? 1 : 0), "bool"),
  Equal: binary((a, b) => (a === b ? 1 : 0), "bool"),
  BitwiseAnd: binary((a, b) => a & b),
  BitShift: (inputs, { direction }) => (direction === "LEFT" ? shiftLeft(inputs) : shiftRight(inputs)),
  Neg: unary((x) => -x),
  Abs: unary(Math.abs),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Sqrt: unary(Math.sqrt),
  Reciprocal: unary((x) => 1 / x),
  Sigmoid: unary(sigmoid),
  Tanh: unary(Math.tanh),
  QuickGelu: ([x], { alpha }) => [
    fill(x!.dtype, x!.shape, (i) => x!.data[i]! * sigmoid(alpha * x!.data[i]!)),
  ],
  Cast: ([x], { to }) => [fill(to, x!.shape, (i) => x!.data[i]!)],
  Where: ([condition, a, b]) => {
    const { shape, positions } = broadcast([condition!, a!, b!]);
    const [test, left, right] = positions;
    return [
      fill(a!.dtype, shape, (i) =>
        condition!.data[test![i]!] === 1 ? a!.data[left![i]!]! : b!.data[right![i]!]!,
      ),
    ];
  },
} satisfies Partial<ReferenceTable>;
