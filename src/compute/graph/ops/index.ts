/** The op table: one row an op, exhaustive by type. */
import type { OpTable } from "../op-spec.ts";
import { elementwiseOps } from "./elementwise.ts";
import { kernelOps } from "./kernels.ts";
import { layoutOps } from "./layout.ts";

export const opTable: OpTable = { ...elementwiseOps, ...layoutOps, ...kernelOps };
