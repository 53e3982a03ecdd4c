/** Which linear layers an adapter adapts and which weights it trains whole, from what the user named. */
import { RE2JS } from "re2js";
import {
  type ExpectedWeight,
  type ModelSpec,
  expectedWeights,
  linearLayers,
} from "../model/decoder/index.ts";
import { UserError, nearest } from "../util/index.ts";

export interface AdaptedLayer {
  /** Such as `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  /** [out, in] */
  readonly shape: readonly [number, number];
}

/** `all-linear`, a regular expression that the whole name must match, or ends of names, as PEFT's target_modules. */
export type Targets = string | readonly string[];

/** The layers that `targets` picks; a target that fits none is a `UserError`. */
export function adaptedLayers(spec: ModelSpec, targets: Targets): readonly AdaptedLayer[] {
  const all = allLayers(spec);
  if (targets === "all-linear") return all;
  if (typeof targets === "string") return matchingLayers(all, targets);
  const names = linearLayers(spec).map(({ name }) => name.split(".").at(-1)!);
  for (const target of targets) {
    if (all.some(({ path }) => endsWith(path, target))) continue;
    if (target === "lm_head" || target === "embed_tokens") throw tableTarget(spec, target);
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

function allLayers(spec: ModelSpec): AdaptedLayer[] {
  return Array.from({ length: spec.layers }, (_, layer) =>
    linearLayers(spec).map(({ name, shape }): AdaptedLayer => {
      return { path: `model.layers.${layer}.${name}`, shape: [shape[0]!, shape[1]!] };
    }),
  ).flat();
}

/** A linear-time engine: an expression from a shared file cannot hang the run. */
function matchingLayers(all: readonly AdaptedLayer[], expression: string): readonly AdaptedLayer[] {
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(expression);
  } catch (error) {
    throw new UserError(`lora.targets ${JSON.stringify(expression)} is not a regular expression`, {
      next: "Name layers by the end of their names, such as [q_proj, v_proj], or take all-linear.",
      cause: error,
    });
  }
  const found = all.filter(({ path }) => pattern.matches(path));
  if (found.length > 0) return found;
  throw new UserError(`no linear layer's whole name matches lora.targets ${JSON.stringify(expression)}`, {
    next: `Names look like ${all[0]!.path}; an expression such as .*layers\\.[01]\\..*q_proj matches some.`,
  });
}

function tableTarget({ tiedEmbeddings }: ModelSpec, target: string): UserError {
  const shared = tiedEmbeddings ? ", which embed_tokens and the vocabulary product share" : "";
  return new UserError(`lora.targets names ${target}${shared}; a low-rank update of it is not supported`, {
    next: `Train it whole: lora.modulesToSave: [${tiedEmbeddings ? "embed_tokens" : target}].`,
  });
}

function endsWith(path: string, target: string): boolean {
  return path === target || path.endsWith(`.${target}`);
}

/** The shortest target_modules that mean exactly `layers` to PEFT: ends of names, or whole names where those say too much. */
export function targetModulesOf(spec: ModelSpec, layers: readonly AdaptedLayer[]): readonly string[] {
  const ends = [...new Set(layers.map(({ path }) => path.split(".").at(-1)!))];
  const covered = allLayers(spec).filter(({ path }) => ends.some((end) => endsWith(path, end)));
  return covered.length === layers.length ? ends : layers.map(({ path }) => path);
}

/**
 * The weights that are trained and saved whole: those of every module whose name ends with one of `names`, as PEFT's
 * modules_to_save. Where embeddings and vocabulary product share a matrix, `embed_tokens` names it, and `lm_head` nothing.
 */
export function savedWeights(
  spec: ModelSpec,
  names: readonly string[],
  adapted: readonly AdaptedLayer[],
): readonly ExpectedWeight[] {
  const all = expectedWeights(spec);
  const moduleOf = (name: string): string => name.slice(0, name.lastIndexOf("."));
  const lowRank = new Set(adapted.map(({ path }) => path));
  const chosen = all.filter(({ name }) => names.some((end) => moduleOf(name).endsWith(end)));
  for (const end of names) {
    if (all.some(({ name }) => moduleOf(name).endsWith(end))) continue;
    if (end === "lm_head") {
      throw new UserError(
        "lora.modulesToSave names lm_head, but this model has none: it shares embed_tokens",
        {
          next: "Name embed_tokens: it trains the shared matrix, and PEFT keeps it shared.",
        },
      );
    }
    const ends = [...new Set(all.map(({ name }) => moduleOf(name).split(".").at(-1)!))];
    const near = nearest(end, ends);
    throw new UserError(`lora.modulesToSave names ${JSON.stringify(end)}, but no module ends so`, {
      next: near === undefined ? `There are ${ends.join(", ")}.` : `Did you mean ${near}?`,
    });
  }
  const both = chosen.find(({ name }) => lowRank.has(moduleOf(name)));
  if (both !== undefined) {
    throw new UserError(`${moduleOf(both.name)} is in lora.targets and in lora.modulesToSave`, {
      next: "Train it one way: leave it out of one of them.",
    });
  }
  return chosen;
}
