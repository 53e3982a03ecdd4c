/** Linear layers over an 8-bit frozen base: integer products forward and backward, activations quantised by token. */
import type { Dim, GraphBuilder, Value } from "../../compute/graph/index.ts";
import { scalar, tensor } from "../../compute/tensor/index.ts";
import type { Linear } from "./linear.ts";
import type { Scope } from "./scope.ts";

/** Layers that read one input share its smoothing, and so its quantised form. */
const sharedInput: Readonly<Record<string, string>> = {
  q_proj: "qkv",
  k_proj: "qkv",
  v_proj: "qkv",
  gate_proj: "gate_up",
  up_proj: "gate_up",
};

/** What layers of one input call it: `….self_attn.qkv`, `….mlp.down_proj`. */
export function inputName(path: string): string {
  const from = path.lastIndexOf(".") + 1;
  const part = path.slice(from);
  return `${path.slice(0, from)}${sharedInput[part] ?? part}`;
}

/** The scope of what layers of one input share. */
export function inputScope(scope: Scope): Scope {
  return scope.parent!.at(inputName(scope.path).slice(scope.parent!.path.length + 1));
}

/** The name of the smoothing vector of a layer's input. */
export function smoothingName(path: string): string {
  return `${inputName(path)}.smoothing`;
}

/** W [O, I] ≈ diag(scale) · codes · diag(1/s). */
export interface Int8Layer {
  /** [O, I] int8 */
  readonly codes: Value;
  /** [O] */
  readonly scale: Value;
  /** 1/s [I], which layers of one input share: moves outliers of a channel into the weights (SmoothQuant, Xiao et al., 2023). */
  readonly inverse: Value;
}

export function int8Layer(scope: Scope, outWidth: Dim, inWidth: Dim): Int8Layer {
  return {
    codes: scope.weight("weight.int8", [outWidth, inWidth], "int8"),
    scale: scope.weight("weight.scale", [outWidth]),
    inverse: inputScope(scope).weight("smoothing", [inWidth]),
  };
}

/** How the products of a frozen layer are computed, one way or the other. */
export type Products = "float32" | "int8";

/**
 * y = x Wᵀ. In 8 bits x/s is quantised by token to u8 around 128, and backward dy ⊙ scale is; the same codes serve. In
 * float32 neither is rounded, and the weights are what their codes stand for.
 */
export function int8LinearIn(forward: Products, backward: Products): Linear {
  return (scope, x, outWidth, bias = false) => {
    const { g } = scope;
    const weight = int8Layer(scope, outWidth, x.shape.at(-1)!);
    const rows = (token: Value): Value => rowsAsFloats(g, token, weight.codes, weight.scale);
    const [y] = g.custom(
      [x],
      () => {
        const smoothed = g.mul(x, weight.inverse);
        if (forward === "float32") return [g.matmul(smoothed, rows(x), { transB: true })];
        const [codes, step] = quantiseByToken(g, smoothed);
        return [g.mul(integerProduct(g, codes, weight.codes, weight.scale, true), step)];
      },
      ([dy]) => [
        backward === "float32"
          ? g.mul(g.matmul(dy!, rows(dy!)), weight.inverse)
          : int8Backward(g, dy!, weight),
      ],
    );
    return bias ? g.add(y!, scope.weight("bias", [outWidth])) : y!;
  };
}

/** Both ways in 8 bits. */
export const int8Linear = int8LinearIn("int8", "int8");

/** diag(scale) · q as float32, not before `token` exists: no float copy lives longer than its product. */
export function rowsAsFloats(g: GraphBuilder, token: Value, q: Value, scale: Value): Value {
  return g.op("DequantizeLinear", [g.barrier(q, token), scale], { axis: 0, block_size: 0 });
}

/**
 * dx = dy W; without smoothing where there is no `inverse`. dy ⊙ scale is quantised by token, never by tensor: the
 * gradient's direction would be lost.
 */
export function int8Backward(
  g: GraphBuilder,
  dy: Value,
  { codes, scale, inverse = g.constant(scalar(1)) }: Omit<Int8Layer, "inverse"> & Partial<Int8Layer>,
): Value {
  const [dyCodes, step] = quantiseByToken(g, g.mul(dy, scale));
  return g.mul(integerProduct(g, dyCodes, codes, inverse, false), step);
}

/**
 * x [T, I] → codes [T, I] uint8 around 128 and the step of each token [T, 1]: x ≈ (codes − 128) · step. Zeros have the step 0:
 * what 0 / 0 is rounded to, its multiple is 0.
 */
export function quantiseByToken(g: GraphBuilder, x: Value): readonly [Value, Value] {
  // Two extremes cost less than a pass that forms magnitudes.
  const most = g.max(g.reduceMax(x, [-1], true), g.neg(g.reduceMin(x, [-1], true)));
  const step = g.mul(most, 1 / 127);
  return [codesByToken(g, x, step), step];
}

/** Codes [T, I] of x by the step of each token [T, 1]. */
export function codesByToken(g: GraphBuilder, x: Value, step: Value): Value {
  return g.op("QuantizeLinear", [x, ...stepsOf(g, step)], { axis: 0 });
}

/** (codes − 128) · step as float32. */
export function floatsByToken(g: GraphBuilder, codes: Value, step: Value): Value {
  return g.op("DequantizeLinear", [codes, ...stepsOf(g, step)], { axis: 0, block_size: 0 });
}

/** The steps [T] of tokens, and the code of 0. */
function stepsOf(g: GraphBuilder, step: Value): readonly [Value, Value] {
  const tokens = step.shape[0]!;
  const middle = g.expand(g.constant(tensor("uint8", [1], Uint8Array.of(128))), [tokens]);
  return [g.reshape(step, [tokens]), middle];
}

/** (codes − 128) · op(q), scaled by output column where `scale` is a vector. */
export function integerProduct(
  g: GraphBuilder,
  codes: Value,
  q: Value,
  scale: Value,
  transposed: boolean,
): Value {
  const zero = scale.shape.length === 0 ? tensor("int8", [], new Int8Array(1)) : undefined;
  const weightZero =
    zero === undefined
      ? g.constant(tensor("int8", [scale.shape[0] as number], new Int8Array(scale.shape[0] as number)))
      : g.constant(zero);
  return g.op(
    "QGemm",
    [codes, g.constant(scalar(1)), g.constant(tensor("uint8", [], Uint8Array.of(128))), q, scale, weightZero],
    { transA: 0, transB: transposed ? 1 : 0, alpha: 1 },
  );
}

/** How loud each channel of x [T, I] is, [I]. */
export type ChannelLevel = (g: GraphBuilder, x: Value) => Value;

/** The largest |x|. */
export const largestOfChannel: ChannelLevel = (g, x) => g.reduceMax(g.abs(x), [0]);

/**
 * ⁴√ of the mean fourth power over the tokens, each of which has a root mean square of 1 itself: its step is its own,
 * however loud it is, and as long as its largest channel, so that peaks count.
 */
export const peakOfChannel: ChannelLevel = (g, x) => {
  const squares = g.mul(x, x);
  const ofToken = g.max(g.mean(squares, [1], true), 1e-30);
  const ofChannel = g.div(squares, ofToken);
  return g.sqrt(g.sqrt(g.mean(g.mul(ofChannel, ofChannel), [0])));
};

/** Passes x on and records the level of each input channel under the smoothing's name. */
export function calibrating(
  base: Linear,
  level: ChannelLevel,
  record: (name: string, loud: Value) => void,
): Linear {
  const seen = new Set<string>();
  return (scope: Scope, x, outWidth, bias) => {
    const name = smoothingName(scope.path);
    if (!seen.has(name)) record(name, level(scope.g, x));
    seen.add(name);
    return base(scope, x, outWidth, bias);
  };
}
