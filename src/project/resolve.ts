/** A configuration from its sources (file, flags, `--set`), with where each value came from. */
import { parse as parseYamlValue } from "yaml";
import { z } from "zod";
import { UserError, errorMessage, excerpt, nearest, readTextFile } from "../util/index.ts";
import { type PlacedDocument, parseYaml } from "./yaml-document.ts";

export interface ConfigSources {
  /** Path of a YAML or JSON file. */
  readonly file?: string;
  /** Values that flags of their own gave, by dotted key. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** What a finding changes, as `key.path=value`; over the file, under flags and --set. */
  readonly finding?: { readonly id: string; readonly file: string; readonly set: readonly string[] };
  /** `key.path=value` as typed after --set. */
  readonly set?: readonly string[];
}

export interface Resolved<T> {
  readonly config: T;
  /** By dotted key: `default`, `train.yaml:7:9`, `--set`, `--model`. */
  readonly origins: ReadonlyMap<string, string>;
}

/** Reads, overrides, validates. Any mistake is a `UserError` that names value, rule, place and next step. */
export async function resolveConfig<S extends z.ZodType>(
  schema: S,
  sources: ConfigSources,
): Promise<Resolved<z.output<S>>> {
  const { file } = sources;
  const document = file === undefined ? undefined : parseYaml(await readTextFile(file, "the config"), file);
  const values = plainObject(document?.value, file);
  const origins = new Map<string, string>(document?.leaves());
  const { finding } = sources;
  for (const text of finding?.set ?? []) {
    const [key, value] = keyAndValue(text, `finding ${finding!.id}`);
    if (!isSetting(schema, key)) throw unknownRemedy(key, finding!, schema);
    assign(values, key, value, `finding ${finding!.id}`);
    origins.set(key, `finding ${finding!.id}`);
  }
  for (const [key, value] of Object.entries(sources.flags ?? {})) {
    if (value === undefined) continue;
    assign(values, key, value, `--${key}`);
    origins.set(key, `--${key.split(".").at(-1)}`);
  }
  for (const text of sources.set ?? []) {
    const [key, value] = keyAndValue(text, "--set");
    assign(values, key, value, `--set ${key}`);
    origins.set(key, "--set");
  }
  const result = schema.safeParse(values, { reportInput: true });
  if (!result.success) throw configError(result.error.issues[0]!, schema, document, origins);
  for (const key of leafKeys(result.data)) {
    // A path of data alone stands for `data.train`.
    const shorthand = key === "data.train" ? origins.get("data") : undefined;
    if (!origins.has(key)) origins.set(key, shorthand ?? "default");
  }
  return { config: result.data, origins };
}

function keyAndValue(text: string, origin: string): readonly [key: string, value: unknown] {
  const equals = text.indexOf("=");
  if (equals < 1) {
    throw new UserError(`${origin} ${text}: expected key=value`, { next: "For example --set lora.rank=8." });
  }
  const [key, value] = [text.slice(0, equals), text.slice(equals + 1)];
  try {
    return [key, parseYamlValue(value)];
  } catch (error) {
    const reason = errorMessage(error).split("\n")[0]!.replace(/:$/, "");
    throw new UserError(`${key} is ${excerpt(value, 60)}, which is not valid YAML: ${reason}`, {
      at: origin,
      next: "Write a value as in the config file, lists as [a, b].",
      cause: error,
    });
  }
}

/** Whether `key` names one setting, not a section of them. */
export function isSetting(schema: z.ZodType, key: string): boolean {
  const found = schemaAt(schema, key.split("."));
  return found !== undefined && !(unwrap(found) instanceof z.ZodObject);
}

/** A finding of another version, or one that was not made by a diagnosis. */
function unknownRemedy(
  key: string,
  { id, file }: NonNullable<ConfigSources["finding"]>,
  schema: z.ZodType,
): UserError {
  const path = key.split(".");
  const wrong = path.findIndex((_, i) => schemaAt(schema, path.slice(0, i + 1)) === undefined);
  const depth = wrong < 0 ? path.length : wrong;
  const near = nearest(path[depth] ?? "", keysAt(schema, path.slice(0, depth)));
  const what = wrong < 0 ? "a section, not a setting" : "not a setting";
  return new UserError(`the remedy of ${id} sets ${key}, which is ${what}`, {
    at: file,
    next: `${near === undefined ? "" : `Did you mean ${[...path.slice(0, depth), near].join(".")}? `}Diagnose the run anew with this version, or set what you want by --set.`,
  });
}

function plainObject(value: unknown, file: string | undefined): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new UserError("a configuration is a map of keys to values", {
    at: `${file}:1`,
    next: "Start with `model: …`.",
  });
}

function assign(into: Record<string, unknown>, key: string, value: unknown, option: string): void {
  const path = key.split(".");
  let object = into;
  for (const part of path.slice(0, -1)) {
    const next = Object.hasOwn(object, part) ? object[part] : undefined;
    if (typeof next === "string" && part === "data") object[part] = { train: next };
    else if (next === undefined || next === null) object[part] = Object.create(null) as object;
    else if (typeof next !== "object" || Array.isArray(next)) {
      throw new UserError(`${option}: ${part} is ${JSON.stringify(next)}, which has no parts`, {
        next: "Check the key.",
      });
    }
    object = object[part] as Record<string, unknown>;
  }
  object[path.at(-1)!] = value;
}

type Issue = z.core.$ZodIssue;

function configError(
  issue: Issue,
  schema: z.ZodType,
  document: PlacedDocument | undefined,
  origins: ReadonlyMap<string, string>,
): UserError {
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys[0]!;
    const key = [...issue.path, unknown].join(".");
    const known = keysAt(schema, issue.path);
    const near = nearest(unknown, known);
    return new UserError(`${key} is not a setting`, {
      at: placeOf([...issue.path, unknown], document, origins),
      next:
        near === undefined
          ? `Known here: ${known.join(", ")}.`
          : `Did you mean ${[...issue.path, near].join(".")}?`,
    });
  }
  const key = issue.path.join(".") || "the configuration";
  const at = placeOf(issue.path, document, origins);
  if (issue.input === undefined) {
    return new UserError(`${key} is missing`, { at, next: `Set it in the config, or with --set ${key}=….` });
  }
  // A rule of our own says itself what it wants; its kind of value alone would not.
  const rule = issue.code === "custom" ? issue.message : ruleAt(schema, issue.path);
  const broken = rule === undefined ? issue.message.toLowerCase() : `it must be ${rule}`;
  return new UserError(`${key} is ${excerpt(JSON.stringify(issue.input), 60)}; ${broken}`, {
    at,
    next: help(schema, issue.path),
  });
}

/** What a value must be, in words, from its schema. */
function ruleAt(schema: z.ZodType, path: readonly PropertyKey[]): string | undefined {
  const found = schemaAt(schema, path);
  if (found === undefined) return undefined;
  const json = z.toJSONSchema(found, { io: "input", unrepresentable: "any" });
  return ruleOf(json);
}

function ruleOf(json: z.core.JSONSchema.BaseSchema): string | undefined {
  if (json.enum !== undefined) return `one of ${json.enum.map(String).join(", ")}`;
  if (json.const !== undefined) return JSON.stringify(json.const);
  if (json.anyOf !== undefined) {
    const rules = json.anyOf.flatMap((option) => (typeof option === "object" ? [ruleOf(option)] : []));
    return rules.filter((rule) => rule !== undefined).join(", or ");
  }
  switch (json.type) {
    case "integer":
    case "number": {
      const kind = json.type === "integer" ? "a whole number" : "a number";
      const above = json.exclusiveMinimum === undefined ? "" : ` above ${json.exclusiveMinimum}`;
      const below = json.exclusiveMaximum === undefined ? "" : ` below ${json.exclusiveMaximum}`;
      const [least, most] = [json.minimum, json.maximum];
      if (least !== undefined && most !== undefined) return `${kind} from ${least} to ${most}${below}`;
      const atLeast = least === undefined ? "" : ` of at least ${least}`;
      const atMost = most === undefined ? "" : `${above === "" ? "" : " and"} up to ${most}`;
      return `${kind}${above}${atLeast}${atMost}${below}`;
    }
    case "boolean":
      return "true or false";
    case "string":
      return json.minLength === 1 ? "text that is not empty" : "text";
    case "array":
      return typeof json.items === "object" && !Array.isArray(json.items)
        ? `a list of ${ruleOf(json.items) ?? "values"}`
        : "a list";
    case "object":
      return "a map of settings";
    default:
      return undefined;
  }
}

function placeOf(
  path: readonly PropertyKey[],
  document: PlacedDocument | undefined,
  origins: ReadonlyMap<string, string>,
): string {
  const origin = origins.get(path.join("."));
  if (origin !== undefined) return origin;
  return document?.place(path) ?? "command line";
}

/** The schema under wrappers (default, optional, preprocess). */
function unwrap(schema: z.ZodType): z.ZodType {
  const def = schema.def as { type: string; innerType?: z.ZodType; out?: z.ZodType };
  if (def.innerType !== undefined) return unwrap(def.innerType);
  return def.type === "pipe" && def.out !== undefined ? unwrap(def.out) : schema;
}

function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType | undefined {
  let current: z.ZodType | undefined = schema;
  for (const key of path) {
    const inner: z.ZodType = unwrap(current!);
    const shape: Record<string, z.ZodType> = inner instanceof z.ZodObject ? inner.shape : {};
    current = Object.hasOwn(shape, String(key)) ? shape[String(key)] : undefined;
    if (current === undefined) return undefined;
  }
  return current;
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const found = schemaAt(schema, path);
  const inner = found === undefined ? undefined : unwrap(found);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** What the schema says of a key, as the next step. */
function help(schema: z.ZodType, path: readonly PropertyKey[]): string {
  let described: string | undefined;
  for (let current = schemaAt(schema, path); current !== undefined;) {
    described ??= current.description;
    const inner = (current.def as { innerType?: z.ZodType }).innerType;
    current = inner;
  }
  return described === undefined ? "Change it and run again." : `It means: ${described}.`;
}

/** Dotted keys of every leaf of a resolved configuration. */
export function leafKeys(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [path.join(".")];
  return Object.entries(value).flatMap(([key, inner]) =>
    inner === undefined ? [] : leafKeys(inner, [...path, key]),
  );
}
