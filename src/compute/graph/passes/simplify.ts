/** Algebra that saves a node: neutral elements, moves that undo or continue one another. */
import { type Shape, sameShape, symbolsOf } from "../dims.ts";
import type { Graph, Node, Op, Value } from "../graph.ts";
import { type Tools, rewrite, uniformValue } from "./rewrite.ts";

/** Whether a Reshape between two shapes can be written; new ones must not ask for sizes that no input tells. */
type CanReshape = (from: Shape, to: Shape) => boolean;

type Simplify<K extends Op> = (node: Node<K>, tools: Tools, canReshape: CanReshape) => Value | undefined;

/** x, where it can stand for the node's result: same type and shape. */
function same(node: Node, value: Value | undefined): Value | undefined {
  const output = node.outputs[0]!;
  return value !== undefined && value.dtype === output.dtype && sameShape(value.shape, output.shape)
    ? value
    : undefined;
}

/** The other operand where one operand is the constant `neutral`. */
const neutralOperand =
  (neutral: number, sides: readonly (0 | 1)[]) =>
  (node: Node, tools: Tools): Value | undefined => {
    for (const side of sides) {
      if (uniformValue(tools.constant(node.inputs[side])) !== neutral) continue;
      const kept = same(node, node.inputs[1 - side]);
      if (kept !== undefined) return kept;
    }
    return undefined;
  };

const unchanged = (node: Node): Value | undefined => same(node, node.inputs[0]);

const rules: { readonly [K in Op]?: Simplify<K> } = {
  Add: neutralOperand(0, [0, 1]),
  Sub: neutralOperand(0, [1]),
  Mul: neutralOperand(1, [0, 1]),
  Div: neutralOperand(1, [1]),
  Neg: (node, tools) => {
    const inner = tools.producer(node.inputs[0]);
    return inner?.op === "Neg" ? inner.inputs[0] : undefined;
  },
  Cast: unchanged,
  Expand: unchanged,
  Concat: (node) => (node.inputs.length === 1 ? node.inputs[0] : undefined),
  // A slice that keeps the shape keeps everything.
  Slice: unchanged,
  Pad: (node) => (node.attributes.before === 0 && node.attributes.after === 0 ? node.inputs[0] : undefined),
  Reshape: (node, tools, canReshape) => {
    const inner = tools.producer(node.inputs[0]);
    const source = inner?.op === "Reshape" ? inner.inputs[0]! : node.inputs[0]!;
    const whole = same(node, source);
    const { shape } = node.outputs[0]!;
    if (whole !== undefined || inner?.op !== "Reshape" || !canReshape(source.shape, shape)) return whole;
    return tools.emit("Reshape", [source], { shape });
  },
  Transpose: (node, tools, canReshape) => {
    const inner = tools.producer(node.inputs[0]);
    const twice = inner?.op === "Transpose";
    const source = twice ? inner.inputs[0]! : node.inputs[0]!;
    const { perm } = node.attributes;
    const innerPerm = twice ? (inner as Node<"Transpose">).attributes.perm : perm.map((_, axis) => axis);
    const order = perm.map((axis) => innerPerm[axis]!);
    if (order.every((axis, i) => axis === i)) return source;
    // Moving axes of size 1 moves no element: a Reshape copies nothing.
    const moved = order.filter((axis) => source.shape[axis] !== 1);
    const { shape } = node.outputs[0]!;
    if (moved.every((axis, i) => i === 0 || axis > moved[i - 1]!) && canReshape(source.shape, shape)) {
      return tools.emit("Reshape", [source], { shape });
    }
    return twice ? tools.emit("Transpose", [source], { perm: order }) : undefined;
  },
};

function simplifyNode<K extends Op>(
  node: Node<K>,
  tools: Tools,
  canReshape: CanReshape,
): readonly Value[] | undefined {
  const value = rules[node.op]?.(node, tools, canReshape);
  return value === undefined ? undefined : [value];
}

export function simplify(graph: Graph): Graph {
  const told = new Set(
    graph.inputs.flatMap((input) => input.shape.filter((dim) => /^[A-Za-z_]\w*$/.test(String(dim)))),
  );
  const canReshape: CanReshape = (from, to) => {
    const open = to.filter((dim, axis) => typeof dim !== "number" && dim !== from[axis]);
    return open.length <= 1 || to.every((dim) => symbolsOf(dim).every((symbol) => told.has(symbol)));
  };
  return rewrite(graph, (node, tools) => simplifyNode(node, tools, canReshape));
}
