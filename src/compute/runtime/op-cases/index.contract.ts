/** Random operands for every op, exhaustive by type: what the interpreter, onnxruntime and gradients are tested on. */
import { elementwiseCases } from "./elementwise.contract.ts";
import { kernelCases } from "./kernels.contract.ts";
import { layoutCases } from "./layout.contract.ts";
import type { Cases } from "./op-case.contract.ts";

export { caseGraph } from "./op-case.contract.ts";
export type { OpCase } from "./op-case.contract.ts";

export const opCases: Cases = { ...elementwiseCases, ...layoutCases, ...kernelCases };
