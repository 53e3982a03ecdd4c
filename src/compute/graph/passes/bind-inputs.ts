/** Turns inputs into constants: weights that a kernel packs once, or that belong into an exported model. */
import { type Tensor, elementCount } from "../../tensor/index.ts";
import { formatShape, sameShape } from "../dims.ts";
import { type Graph, GraphError, type Value } from "../graph.ts";
import { verify } from "../verify.ts";

/** `graph` with each input that `contents` names as a constant of that content. Its shape must be in numbers. */
export function bindInputs(graph: Graph, contents: ReadonlyMap<string, Tensor>): Graph {
  const constants = new Map(graph.constants);
  const inputs: Value[] = [];
  const unused = new Set(contents.keys());
  for (const input of graph.inputs) {
    const content = contents.get(input.name);
    if (content === undefined) {
      inputs.push(input);
      continue;
    }
    const { dtype, shape, data } = content;
    if (dtype !== input.dtype || !sameShape(shape, input.shape) || data.length !== elementCount(shape)) {
      const wanted = `${input.name}: ${input.dtype}${formatShape(input.shape)}`;
      throw new GraphError(`the input ${wanted} cannot be bound to ${dtype}${formatShape(shape)}`);
    }
    constants.set(input, content);
    unused.delete(input.name);
  }
  for (const name of unused) throw new GraphError(`there is no input ${name} to bind`);
  return verify({ ...graph, inputs, constants });
}
