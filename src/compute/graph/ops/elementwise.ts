/** Shape rules of the element-by-element ops. */
import { isFloat } from "../../tensor/index.ts";
import type { Op } from "../graph.ts";
import { type Inputs, type ValueType, broadcast, fail, required, sameDType } from "../infer.ts";
import type { OpTable } from "../op-spec.ts";

const binary = (op: Op) => ({
  arity: [2, 2] as const,
  infer: (inputs: Inputs): ValueType[] => [{ dtype: sameDType(op, inputs), shape: broadcast(op, inputs) }],
});

const comparison = (op: Op) => ({
  arity: [2, 2] as const,
  infer: (inputs: Inputs): ValueType[] => {
    sameDType(op, inputs);
    return [{ dtype: "bool", shape: broadcast(op, inputs) }];
  },
});

const unary = (op: Op, floatOnly = true) => ({
  arity: [1, 1] as const,
  infer: (inputs: Inputs): ValueType[] => {
    const { dtype, shape } = required(op, inputs, 0);
    if (floatOnly && !isFloat(dtype)) fail(op, inputs, "the operand must be a float");
    return [{ dtype, shape }];
  },
});

type Elementwise =
  | "Add"
  | "Sub"
  | "Mul"
  | "Div"
  | "Max"
  | "Min"
  | "Less"
  | "Greater"
  | "Equal"
  | "Neg"
  | "Abs";
type Bits = "BitwiseAnd" | "BitShift";
type Unary = "Exp" | "Log" | "Sqrt" | "Reciprocal" | "Sigmoid" | "Tanh" | "QuickGelu" | "Cast" | "Where";

const bitwise = (op: Op, ...dtypes: readonly ValueType["dtype"][]) => ({
  arity: [2, 2] as const,
  infer: (inputs: Inputs): ValueType[] => {
    const dtype = sameDType(op, inputs);
    if (!dtypes.includes(dtype)) fail(op, inputs, `the operands must be ${dtypes.join(" or ")}`);
    return [{ dtype, shape: broadcast(op, inputs) }];
  },
});

export const elementwiseOps: Pick<OpTable, Elementwise | Bits | Unary> = {
  Add: binary("Add"),
  Sub: binary("Sub"),
  Mul: binary("Mul"),
  Div: binary("Div"),
  Max: binary("Max"),
  Min: binary("Min"),
  Less: comparison("Less"),
  Greater: comparison("Greater"),
  Equal: comparison("Equal"),
  BitwiseAnd: bitwise("BitwiseAnd", "uint8", "int8"),
  BitShift: bitwise("BitShift", "uint8"),
  Neg: unary("Neg", false),
  Abs: unary("Abs", false),
  Exp: unary("Exp"),
  Log: unary("Log"),
  Sqrt: unary("Sqrt"),
  Reciprocal: unary("Reciprocal"),
  Sigmoid: unary("Sigmoid"),
  Tanh: unary("Tanh"),
  QuickGelu: { domain: "com.microsoft", ...unary("QuickGelu") },
  Cast: {
    arity: [1, 1],
    infer: (inputs, { to }) => [{ dtype: to, shape: required("Cast", inputs, 0).shape }],
  },
  Where: {
    arity: [3, 3],
    infer: (inputs) => {
      if (required("Where", inputs, 0).dtype !== "bool") fail("Where", inputs, "the condition must be bool");
      return [{ dtype: sameDType("Where", inputs.slice(1)), shape: broadcast("Where", inputs) }];
    },
  },
};
