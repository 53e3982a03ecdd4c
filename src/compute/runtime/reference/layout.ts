/** Products, reductions and the ops that move elements, as their definitions read. */
import { broadcastShapes } from "../../graph/index.ts";
import { elementCount } from "../../tensor/index.ts";
import { type Wide, around, broadcastPositions, build, fill, strides, walk } from "./array.ts";
import type { ReferenceTable } from "./table.ts";

/** alpha · op(a) · op(b), batch axes broadcast; `term` may see the indices of the row and column. */
export function product(
  a: Wide,
  b: Wide,
  options: {
    readonly transA?: 0 | 1;
    readonly transB?: 0 | 1;
    readonly dtype?: Wide["dtype"];
    readonly left?: (value: number, row: number) => number;
    readonly right?: (value: number, column: number) => number;
    readonly scale?: (sum: number, row: number, column: number) => number;
  } = {},
): Wide {
  const { transA = 0, transB = 0, left = (x) => x, right = (x) => x, scale = (x) => x } = options;
  const [m, k] = transA === 1 ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const n = transB === 1 ? b.shape.at(-2)! : b.shape.at(-1)!;
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)) as number[];
  const aBatch = broadcastPositions(a.shape.slice(0, -2), batch);
  const bBatch = broadcastPositions(b.shape.slice(0, -2), batch);
  return build(options.dtype ?? a.dtype, [...batch, m, n], (data) => {
    for (let g = 0; g < aBatch.length; g++) {
      for (let row = 0; row < m; row++) {
        for (let column = 0; column < n; column++) {
          let sum = 0;
          for (let i = 0; i < k; i++) {
            const x = a.data[aBatch[g]! * m * k + (transA === 1 ? i * m + row : row * k + i)]!;
            const y = b.data[bBatch[g]! * k * n + (transB === 1 ? column * k + i : i * n + column)]!;
            sum += left(x, row) * right(y, column);
          }
          data[(g * m + row) * n + column] = scale(sum, row, column);
        }
      }
    }
  });
}

/** Replaces every line along `axis` by `f(line)` of the same length. */
function lines(x: Wide, axis: number, f: (line: number[]) => readonly number[]): Wide {
  const { outer, size, inner } = around(x.shape, axis);
  return build(x.dtype, x.shape, (data) => {
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const at = (j: number): number => (o * size + j) * inner + i;
        const line = f(Array.from({ length: size }, (_, j) => x.data[at(j)]!));
        for (let j = 0; j < size; j++) data[at(j)] = line[j]!;
      }
    }
  });
}

function logSumExp(line: readonly number[]): number {
  const top = Math.max(...line);
  return top + Math.log(line.reduce((sum, value) => sum + Math.exp(value - top), 0));
}

/** Folds the elements along `axes`. */
function reduce(
  x: Wide,
  axes: readonly number[],
  keepdims: 0 | 1,
  f: (values: readonly number[]) => number,
  dtype = x.dtype,
): Wide {
  const gone = new Set(axes.map((axis) => (axis < 0 ? axis + x.shape.length : axis)));
  const ones = x.shape.map((size, axis) => (gone.has(axis) ? 1 : size));
  const groups = Array.from({ length: elementCount(ones) }, (): number[] => []);
  // Each element's group is the element of the reduced shape that it broadcasts from.
  const group = broadcastPositions(ones, x.shape);
  for (const [i, value] of x.data.entries()) groups[group[i]!]!.push(value);
  return fill(dtype, keepdims === 1 ? ones : x.shape.filter((_, axis) => !gone.has(axis)), (i) =>
    f(groups[i]!),
  );
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function index(at: number, size: number, op: string): number {
  const normal = at < 0 ? at + size : at;
  if (normal < 0 || normal >= size) throw new Error(`${op}: index ${at} is outside an axis of size ${size}`);
  return normal;
}

export const layoutKernels = {
  MatMul: ([a, b]) => [product(a!, b!)],
  FusedMatMul: ([a, b], { transA, transB, alpha }) => [
    product(a!, b!, { transA, transB, scale: (value) => alpha * value }),
  ],
  Softmax: ([x], { axis }) => [
    lines(x!, axis, (line) => {
      const total = logSumExp(line);
      return line.map((value) => Math.exp(value - total));
    }),
  ],
  LogSoftmax: ([x], { axis }) => [
    lines(x!, axis, (line) => {
      const total = logSumExp(line);
      return line.map((value) => value - total);
    }),
  ],
  ReduceSum: ([x], { axes, keepdims }) => [reduce(x!, axes, keepdims, sum)],
  ReduceMean: ([x], { axes, keepdims }) => [
    reduce(x!, axes, keepdims, (values) => sum(values) / values.length),
  ],
  ReduceMax: ([x], { axes, keepdims }) => [
    reduce(x!, axes, keepdims, (values) => values.reduce((a, b) => Math.max(a, b), -Infinity)),
  ],
  ReduceMin: ([x], { axes, keepdims }) => [
    reduce(x!, axes, keepdims, (values) => values.reduce((a, b) => Math.min(a, b), Infinity)),
  ],
  ArgMax: ([x], { axis, keepdims }) => [
    reduce(x!, [axis], keepdims, (values) => values.indexOf(Math.max(...values)), "int64"),
  ],
  TopK: ([x], { k, axis }) => {
    const order = (line: readonly number[]): number[] =>
      [...line.keys()].sort((a, b) => line[b]! - line[a]! || a - b);
    const first = (full: Wide): Wide => slice(full, axis, 0, k);
    const values = lines(x!, axis, (line) => order(line).map((i) => line[i]!));
    const positions = lines({ ...x!, dtype: "int64" }, axis, order);
    return [first(values), first(positions)];
  },
  Reshape: ([x], { shape }, context) => [{ ...x!, shape: context.sizes(shape) }],
  Transpose: ([x], { perm }) => {
    const steps = strides(x!.shape);
    const shape = perm.map((axis) => x!.shape[axis]!);
    const from = walk(shape, (axis) => steps[perm[axis]!]!);
    return [fill(x!.dtype, shape, (i) => x!.data[from[i]!]!)];
  },
  Slice: ([x], { axis, start, end }) => [slice(x!, axis, start, end)],
  Concat: (inputs, { axis }) => {
    const first = inputs[0]!;
    const parts = inputs.map((input) => ({ data: input.data, ...around(input.shape, axis) }));
    const size = sum(parts.map((part) => part.size));
    const { outer, inner } = parts[0]!;
    const at = axis < 0 ? axis + first.shape.length : axis;
    const data = build(
      first.dtype,
      first.shape.map((dim, i) => (i === at ? size : dim)),
      (into) => {
        let done = 0;
        for (const part of parts) {
          const run = part.size * inner;
          for (let o = 0; o < outer; o++) {
            into.set(part.data.subarray(o * run, (o + 1) * run), (o * size + done) * inner);
          }
          done += part.size;
        }
      },
    );
    return [data];
  },
  Pad: ([x], { axis, before, after }, context) => {
    const [lead, trail] = context.sizes([before, after]) as [number, number];
    const { outer, size, inner } = around(x!.shape, axis);
    const total = size + lead + trail;
    const at = axis < 0 ? axis + x!.shape.length : axis;
    const shape = x!.shape.map((dim, i) => (i === at ? total : dim));
    return [
      build(x!.dtype, shape, (into) => {
        for (let o = 0; o < outer; o++) {
          const line = x!.data.subarray(o * size * inner, (o + 1) * size * inner);
          into.set(line, (o * total + lead) * inner);
        }
      }),
    ];
  },
  Expand: ([x], { shape }, context) => {
    const to = context.sizes(shape);
    const from = broadcastPositions(x!.shape, to);
    return [fill(x!.dtype, to, (i) => x!.data[from[i]!]!)];
  },
  Gather: ([data, indices], { axis }) => {
    const { outer, size, inner } = around(data!.shape, axis);
    const at = axis < 0 ? axis + data!.shape.length : axis;
    const shape = [...data!.shape.slice(0, at), ...indices!.shape, ...data!.shape.slice(at + 1)];
    const count = indices!.data.length;
    return [
      build(data!.dtype, shape, (into) => {
        for (let o = 0; o < outer; o++) {
          for (let j = 0; j < count; j++) {
            const from = (o * size + index(indices!.data[j]!, size, "Gather")) * inner;
            into.set(data!.data.subarray(from, from + inner), (o * count + j) * inner);
          }
        }
      }),
    ];
  },
  GatherElements: ([data, indices]) => {
    const [, columns] = data!.shape as [number, number];
    const [, count] = indices!.shape as [number, number];
    return [
      fill(data!.dtype, indices!.shape, (i) => {
        const at = index(indices!.data[i]!, columns, "GatherElements");
        return data!.data[Math.floor(i / count) * columns + at]!;
      }),
    ];
  },
  ScatterND: ([data, indices, updates], { reduction }) => {
    const { size, inner } = around(data!.shape, 0);
    return [
      build(data!.dtype, data!.shape, (into) => {
        into.set(data!.data);
        for (const [j, at] of indices!.data.entries()) {
          const row = index(at, size, "ScatterND") * inner;
          for (let i = 0; i < inner; i++) {
            const before = reduction === "add" ? into[row + i]! : 0;
            into[row + i] = before + updates!.data[j * inner + i]!;
          }
        }
      }),
    ];
  },
  Barrier: ([x]) => [x!],
} satisfies Partial<ReferenceTable>;

function slice(x: Wide, axis: number, start: number, end?: number): Wide {
  const { outer, size, inner } = around(x.shape, axis);
  const clamp = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, 0), size);
  const from = clamp(start);
  const kept = Math.max(0, clamp(end ?? size) - from);
  const at = axis < 0 ? axis + x.shape.length : axis;
  return build(
    x.dtype,
    x.shape.map((dim, i) => (i === at ? kept : dim)),
    (into) => {
      for (let o = 0; o < outer; o++) {
        const begin = (o * size + from) * inner;
        into.set(x.data.subarray(begin, begin + kept * inner), o * kept * inner);
      }
    },
  );
}
