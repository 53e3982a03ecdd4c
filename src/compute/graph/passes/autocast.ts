/** Mixed precision as PyTorch's autocast has it: matrix products take and give half precision, all else stays float32. */
import type { Graph, Node, Op, Value } from "../graph.ts";
import { type Pass, type Tools, rewrite, uniformValue } from "./rewrite.ts";

export type HalfType = "float16" | "bfloat16";

export interface AutocastOptions {
  readonly half: HalfType;
  /**
   * `native`: the products themselves are half-precision nodes. `rounded`: for providers without such kernels,
   * operands and results are rounded to half precision around a float32 product, which gives the same numbers but for
   * the order of sums.
   */
  readonly products: "native" | "rounded";
  /** Inputs of float32 that hold nothing but values of the half type: they need no rounding. */
  readonly exact?: ReadonlySet<string>;
}

/**
 * Casts as torch.autocast does for a LLaMA: every MatMul takes and gives `half`, forward and backward; its neighbours
 * (softmax, norms, the loss, sums with the residual stream, the parameters and their gradient) see float32. Run it on
 * a graph as built, before `fuse` could move a factor past a cast.
 */
export function autocast(options: AutocastOptions): Pass {
  return (graph: Graph) => {
    const cast = new Map<Value, Value>();
    const exact = new Set(graph.inputs.filter(({ name }) => options.exact?.has(name) === true));
    return rewrite(graph, (node, tools) => {
      if (node.op !== "MatMul" && node.op !== "FusedMatMul") return undefined;
      if (node.outputs[0]!.dtype !== "float32") return undefined;
      const operand = options.products === "native" ? inHalf : rounded;
      const [a, b] = node.inputs.map((input) => {
        const known = cast.get(input!) ?? operand(input!, options.half, exact, tools);
        cast.set(input!, known);
        return known;
      });
      const product = tools.emit(node.op, [a!, b!], node.attributes);
      if (options.products === "native") return [tools.emit("Cast", [product], { to: "float32" })];
      return [roundTrip(product, options.half, tools)];
    });
  };
}

/** x in the half type: what it was cast from, where it was cast from it. */
function inHalf(x: Value, half: HalfType, _: ReadonlySet<Value>, tools: Tools): Value {
  return halfBehind(x, half, tools) ?? tools.emit("Cast", [x], { to: half });
}

/** x with values of the half type, still float32. */
function rounded(x: Value, half: HalfType, exact: ReadonlySet<Value>, tools: Tools): Value {
  return isExact(x, half, exact, tools) ? x : roundTrip(x, half, tools);
}

/** Ops whose result holds nothing but elements of their first operand. */
const moves: ReadonlySet<Op> = new Set(["Reshape", "Transpose", "Slice", "Gather", "Barrier", "Expand"]);

/** Whether every element of x is certain to be a value of the half type. */
function isExact(x: Value, half: HalfType, exact: ReadonlySet<Value>, tools: Tools): boolean {
  if (exact.has(x) || halfBehind(x, half, tools) !== undefined) return true;
  const node = tools.producer(x);
  if (node === undefined) return uniformValue(tools.constant(x)) === 0;
  if (moves.has(node.op)) return isExact(node.inputs[0]!, half, exact, tools);
  return node.op === "Where" && node.inputs.slice(1).every((value) => isExact(value!, half, exact, tools));
}

function roundTrip(x: Value, half: HalfType, tools: Tools): Value {
  return tools.emit("Cast", [tools.emit("Cast", [x], { to: half })], { to: "float32" });
}

/** The value of the half type that x is the float32 form of. */
export function halfBehind(
  x: Value,
  half: HalfType,
  tools: { producer(value: Value): Node | undefined },
): Value | undefined {
  const node = tools.producer(x);
  const from = node?.op === "Cast" ? node.inputs[0]! : undefined;
  return from?.dtype === half ? from : undefined;
}
