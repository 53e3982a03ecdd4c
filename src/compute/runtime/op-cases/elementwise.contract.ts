/** Cases of the element-by-element ops. */
import * as fc from "fast-check";
import type { Op, OpAttributes } from "../../graph/index.ts";
import type { DType } from "../../tensor/index.ts";
import {
  type Cases,
  type OpCase,
  arithmetic,
  between,
  broadcastable,
  nonZero,
  seeds,
  shapes,
  values,
  whole,
} from "./op-case.contract.ts";

const binary = <K extends Op>(
  op: K,
  attributes: OpAttributes[K],
  dtype: fc.Arbitrary<DType> = arithmetic,
  second?: (next: () => number) => number,
): fc.Arbitrary<OpCase<K>> =>
  fc.tuple(broadcastable(2), dtype, seeds, fc.boolean()).map(([[a, b], type, seed, symbolic]) => ({
    op,
    inputs: [values(type, a!, seed), values(type, b!, seed + 1, second)],
    attributes,
    symbolic,
  }));

const unary = <K extends Op>(
  op: K,
  attributes: fc.Arbitrary<OpAttributes[K]>,
  draw?: (next: () => number) => number,
  dtype: fc.Arbitrary<DType> = fc.constant("float32"),
): fc.Arbitrary<OpCase<K>> =>
  fc.tuple(shapes(0), attributes, dtype, seeds, fc.boolean()).map(([shape, given, type, seed, symbolic]) => ({
    op,
    inputs: [values(type, shape, seed, draw)],
    attributes: given,
    symbolic,
  }));

export const elementwiseCases = {
  Add: binary("Add", {}),
  Sub: binary("Sub", {}),
  Mul: binary("Mul", {}),
  Div: binary("Div", {}, fc.constant("float32"), nonZero),
  Max: binary("Max", {}),
  Min: binary("Min", {}),
  Less: binary("Less", {}),
  Greater: binary("Greater", {}),
  Equal: binary("Equal", {}, fc.constantFrom<DType>("int32", "int64", "bool")),
  BitwiseAnd: binary("BitwiseAnd", {}, fc.constantFrom<DType>("uint8", "int8")),
  // The second operand is a number of bits.
  BitShift: fc
    .constantFrom<"LEFT" | "RIGHT">("LEFT", "RIGHT")
    .chain((direction) => binary("BitShift", { direction }, fc.constant("uint8"), whole(0, 7))),
  Neg: unary("Neg", fc.constant({}), undefined, arithmetic),
  Abs: unary("Abs", fc.constant({}), undefined, arithmetic),
  Exp: unary("Exp", fc.constant({})),
  Log: unary("Log", fc.constant({}), between(0.1, 4)),
  Sqrt: unary("Sqrt", fc.constant({}), between(0.1, 4)),
  Reciprocal: unary("Reciprocal", fc.constant({}), nonZero),
  Sigmoid: unary("Sigmoid", fc.constant({})),
  Tanh: unary("Tanh", fc.constant({})),
  QuickGelu: unary("QuickGelu", fc.record({ alpha: fc.constantFrom(1, 1.702) })),
  Cast: unary(
    "Cast",
    fc.record({ to: fc.constantFrom<DType>("float32", "float16", "int32", "int64", "bool", "uint8") }),
    whole(0, 9),
    fc.constantFrom<DType>("float32", "float16", "int32", "int64", "bool", "uint8", "int8"),
  ),
  Where: fc
    .tuple(broadcastable(3), arithmetic, seeds, fc.boolean())
    .map(([[c, a, b], type, seed, symbolic]) => ({
      op: "Where",
      inputs: [values("bool", c!, seed), values(type, a!, seed + 1), values(type, b!, seed + 2)],
      attributes: {},
      symbolic,
    })),
} satisfies Partial<Cases>;
