/** Linear layers and LoRA around them. */
import type { Dim, Value } from "../../compute/graph/index.ts";
import { doraLinear } from "./dora.ts";
import type { Scope } from "./scope.ts";

/** x [T, I] → [T, outWidth]. The scope stands at the layer; its weight is [O, I] as checkpoints store it. */
export type Linear = (scope: Scope, x: Value, outWidth: number, bias?: boolean) => Value;

/** y = x Wᵀ (+ b). */
export const linear: Linear = (scope, x, outWidth, bias = false) => {
  const { g } = scope;
  const y = g.matmul(x, scope.weight("weight", [outWidth, x.shape.at(-1)!]), { transB: true });
  return bias ? g.add(y, scope.weight("bias", [outWidth])) : y;
};

/**
 * The same y as (W xᵀ)ᵀ, for a few rows x [T, I]: onnxruntime rearranges the right operand of every product, and this
 * way that is x and not W (16 rows of SmolLM2: 30 instead of 50 ms a step). One row alone goes faster by `linear`.
 */
export const fewRowsLinear: Linear = (scope, x, outWidth, bias = false) => {
  const { g } = scope;
  const columns = g.matmul(scope.weight("weight", [outWidth, x.shape.at(-1)!]), x, { transB: true });
  const y = g.transpose(columns, [1, 0]);
  return bias ? g.add(y, scope.weight("bias", [outWidth])) : y;
};

export interface LoraOptions {
  /** R */
  readonly rank: Dim;
  /** s in y = Wx + s · B(Ax): alpha / R, or alpha / √R for rank-stabilised LoRA. */
  readonly scale: number;
  /** Whether the layer at this path is adapted. */
  readonly adapts: (path: string) => boolean;
  /** Dropout on the input of A (training only): what is kept, and the factor that makes up for the rest. */
  readonly dropout?: { readonly keep: (scope: Scope, x: Value) => Value; readonly scale: number };
  /**
   * Forms W + s·BA once a batch instead of the two thin products: cheaper when a batch has hundreds of tokens.
   * Needs plain float32 weights (the base must be `linear`) and no dropout.
   */
  readonly merged: boolean;
  /**
   * Rows of the update have magnitudes of their own (DoRA). `magnitude`: trained, in `lora_magnitude_vector` [O], over
   * plain weights. `factor`: for use, `lora_factor` [O] multiplies Wx and is inside B already.
   */
  readonly rows?: "magnitude" | "factor";
}

/**
 * LoRA (Hu et al., 2021): y = base(x) + s · B(A(dropout(x))), with A `lora_A.weight` [R, I] and
 * B `lora_B.weight` [O, R].
 */
export function lora(base: Linear, options: LoraOptions): Linear {
  if (options.merged && (base !== linear || options.dropout !== undefined)) {
    throw new Error("a merged LoRA needs plain weights and no dropout");
  }
  if (options.rows === "magnitude" && base !== linear) throw new Error("DoRA needs plain weights");
  return (scope, x, outWidth, bias) => {
    if (!options.adapts(scope.path)) return base(scope, x, outWidth, bias);
    const a = scope.weight("lora_A.weight", [options.rank, x.shape.at(-1)!]);
    const b = scope.weight("lora_B.weight", [outWidth, options.rank]);
    if (options.rows === "magnitude") return doraLinear(scope, x, [a, b], options, outWidth, bias ?? false);
    if (options.merged) return mergedLora(scope, x, a, b, options.scale, outWidth, bias ?? false);
    const { g } = scope;
    const { dropout } = options;
    const kept = dropout === undefined ? x : dropout.keep(scope, x);
    // The factor rides on the thin product: x is not passed over once more.
    const inner = g.matmul(kept, a, { transB: true, alpha: dropout?.scale ?? 1 });
    const update = g.matmul(inner, b, { transB: true, alpha: options.scale });
    if (options.rows !== "factor") return g.add(base(scope, x, outWidth, bias), update);
    const scaled = g.mul(base(scope, x, outWidth), scope.weight("lora_factor", [outWidth]));
    const y = g.add(scaled, update);
    return bias === true ? g.add(y, scope.weight("bias", [outWidth])) : y;
  };
}

/** y = x (W + s·BA)ᵀ, whose gradient never forms the full dW: dB = s · dyᵀ(xAᵀ), dA = s · (dy B)ᵀ x. */
function mergedLora(
  scope: Scope,
  x: Value,
  a: Value,
  b: Value,
  scale: number,
  outWidth: number,
  bias: boolean,
): Value {
  const { g } = scope;
  const weight = scope.weight("weight", [outWidth, x.shape.at(-1)!]);
  const merged = (b: Value): Value => g.add(weight, g.matmul(b, a, { alpha: scale }));
  const [y] = g.custom(
    [x, a, b],
    () => [g.matmul(x, merged(b), { transB: true })],
    ([dy]) => {
      const u = g.matmul(x, a, { transB: true });
      const du = g.matmul(dy!, b, { alpha: scale });
      return [
        // Formed again: it costs little, and no merged copy of every layer lives until then.
        g.matmul(dy!, merged(g.barrier(b, dy!))),
        g.matmul(du, x, { transA: true }),
        g.matmul(dy!, u, { transA: true, alpha: scale }),
      ];
    },
  );
  return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
}
