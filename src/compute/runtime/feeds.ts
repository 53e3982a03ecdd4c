/** Checks what a run is fed against what the graph declares, before anything is sent to a device. */
import { type Graph, type Shape, type Value, evaluateDim, formatShape } from "../graph/index.ts";
import { nearest } from "../../util/index.ts";
import { type DType, elementCount } from "../tensor/index.ts";
import type { RunOptions } from "./runtime.ts";

/** What is checked of a feed. */
interface Typed {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data?: { readonly length: number };
}

/** Feeds or output names that do not fit the program: names the input, what it expects and what it got. */
export class FeedError extends Error {
  constructor(program: string, problem: string) {
    super(`${program}: ${problem}`);
    this.name = "FeedError";
  }
}

/** The value of every symbol, one and the same across all inputs of one call. */
export function checkFeeds(
  program: string,
  inputs: readonly Value[],
  feeds: Readonly<Record<string, Typed>>,
): ReadonlyMap<string, number> {
  const symbols = new Map<string, { readonly size: number; readonly from: string }>();
  for (const input of inputs) {
    const feed = feeds[input.name];
    if (feed === undefined) throw new FeedError(program, `the input ${expected(input)} is missing`);
    if (feed.dtype !== input.dtype || feed.shape.length !== input.shape.length)
      mismatch(program, input, feed);
    const count = elementCount(feed.shape);
    if (feed.data !== undefined && feed.data.length !== count) {
      throw new FeedError(
        program,
        `the input ${expected(input)} has ${feed.data.length} elements where ${formatShape(feed.shape)} needs ${count}`,
      );
    }
    for (const [axis, dim] of input.shape.entries()) {
      const size = feed.shape[axis]!;
      if (typeof dim === "number") {
        if (dim !== size) mismatch(program, input, feed);
      } else if (/^\w+$/.test(dim)) {
        const known = symbols.get(dim);
        if (known === undefined) symbols.set(dim, { size, from: input.name });
        else if (known.size !== size) {
          mismatch(program, input, feed, `; ${dim} is ${known.size} in ${known.from}`);
        }
      }
    }
  }
  const values = new Map([...symbols].map(([symbol, { size }]) => [symbol, size]));
  for (const input of inputs) checkComputedSizes(program, input, feeds[input.name]!, values);
  const names = new Set(inputs.map((input) => input.name));
  for (const name of Object.keys(feeds)) {
    if (!names.has(name)) throw new FeedError(program, `there is no input ${name}${suggestion(name, names)}`);
  }
  return values;
}

/** Sizes such as `P+S`, where all their symbols are known from other inputs. */
function checkComputedSizes(
  program: string,
  input: Value,
  feed: Typed,
  values: ReadonlyMap<string, number>,
): void {
  for (const [axis, dim] of input.shape.entries()) {
    if (typeof dim === "number" || /^\w+$/.test(dim)) continue;
    let size: number;
    try {
      size = evaluateDim(dim, values);
    } catch {
      continue;
    }
    if (size !== feed.shape[axis]) mismatch(program, input, feed, `; ${dim} is ${size}`);
  }
}

function expected(input: { readonly name: string; readonly dtype: string; readonly shape: Shape }): string {
  return `${input.name}: ${input.dtype}${formatShape(input.shape)}`;
}

function mismatch(program: string, input: Value, feed: Typed, note = ""): never {
  throw new FeedError(
    program,
    `the input ${expected(input)} got ${feed.dtype}${formatShape(feed.shape)}${note}`,
  );
}

function suggestion(name: string, known: Iterable<string>): string {
  const near = nearest(name, known);
  return near === undefined ? "" : `; did you mean ${near}?`;
}

/** Which outputs come back and which stay, by the rules of `RunOptions`. */
export function chooseOutputs(
  program: string,
  outputs: Graph["outputs"],
  options: RunOptions,
): { readonly keep: readonly string[]; readonly fetch: readonly string[] } {
  const keep = options.keep ?? [];
  const writes = options.write ?? [];
  const staying = new Set([...keep, ...writes.map(({ output }) => output)]);
  const fetch = options.fetch ?? [...outputs.keys()].filter((name) => !staying.has(name));
  for (const name of [...staying, ...fetch]) {
    if (!outputs.has(name)) {
      throw new FeedError(program, `there is no output ${name}${suggestion(name, outputs.keys())}`);
    }
  }
  for (const { output, targets } of writes) {
    const { dtype } = outputs.get(output)!;
    const odd = targets.find((target) => target.dtype !== dtype);
    if (odd !== undefined) {
      throw new FeedError(
        program,
        `the output ${output} is ${dtype} and cannot be written into ${odd.dtype}`,
      );
    }
  }
  return { keep: [...new Set(keep)], fetch: [...new Set(fetch)] };
}

/** bfloat16 is a storage format here: no runtime has kernels for it. */
export function refuseStorageTypes(dtype: DType): void {
  if (dtype === "bfloat16") {
    throw new Error(
      "bfloat16 tensors cannot be computed with: convert the values to float32 or float16 first",
    );
  }
}
