/** Which linear layers an adapter adapts, from what the user named. */
import { type ModelSpec, linearLayers } from "../model/decoder/index.ts";
import { UserError, nearest } from "../util/index.ts";

export interface AdaptedLayer {
  /** Such as `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  /** [out, in] */
  readonly shape: readonly [number, number];
}

/** The layers whose name ends with one of `targets`, or all of them; a target that fits none is a `UserError`. */
export function adaptedLayers(
  spec: ModelSpec,
  targets: "all-linear" | readonly string[],
): readonly AdaptedLayer[] {
  const all: AdaptedLayer[] = [];
  for (let layer = 0; layer < spec.layers; layer++) {
    for (const { name, shape } of linearLayers(spec)) {
      all.push({ path: `model.layers.${layer}.${name}`, shape: [shape[0]!, shape[1]!] });
    }
  }
  if (targets === "all-linear") return all;
  const names = linearLayers(spec).map(({ name }) => name.split(".").at(-1)!);
  for (const target of targets) {
    if (all.some(({ path }) => endsWith(path, target))) continue;
    const near = nearest(target, names);
    throw new UserError(`lora.targets names ${JSON.stringify(target)}, but no linear layer ends so`, {
      next:
        near === undefined
          ? `There are ${names.join(", ")}.`
          : `Did you mean ${near}? There are ${names.join(", ")}.`,
    });
  }
  return all.filter(({ path }) => targets.some((target) => endsWith(path, target)));
}

function endsWith(path: string, target: string): boolean {
  return path === target || path.endsWith(`.${target}`);
}
