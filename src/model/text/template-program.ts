/**
 * The part of Jinja that most chat templates are written in, as functions: about a hundred times as fast as the
 * interpreter, which takes over wherever a template leaves this part.
 */
import type { Message } from "./conversation.ts";

/** Renders with these variables; `undefined` when the template does something that is not understood here. */
export type TemplateProgram = (variables: Readonly<Record<string, unknown>>) => string | undefined;

/** A node of the parsed template. */
interface Syntax {
  readonly type: string;
  readonly [field: string]: unknown;
}

type Shown = Pick<Message, "role" | "content">;

/** What a loop knows of its turn. */
class Loop {
  readonly index: number;
  readonly items: readonly Shown[];

  constructor(index: number, items: readonly Shown[]) {
    this.index = index;
    this.items = items;
  }
}

type Value = string | number | boolean | null | undefined | Shown | readonly Shown[] | Loop;

interface Names {
  readonly own: Map<string, Value>;
  readonly outer: Names | undefined;
}

type Evaluate = (names: Names) => Value;
type Write = (names: Names) => string;

/** Thrown where the template leaves what is understood; one object, as a stack would cost more than the work. */
const leave = new Error("beyond what is understood here");

/** `parsed`: the syntax tree of @huggingface/jinja. What each node means is what its interpreter does, to the letter. */
export function templateProgram(parsed: unknown): TemplateProgram {
  const write = understood(() => block((parsed as Syntax)["body"])) ?? leaving;
  return (variables) => {
    const own = new Map<string, Value>();
    for (const [name, value] of Object.entries(variables)) own.set(name, value as Value);
    return understood(() => write({ own, outer: undefined }));
  };
}

/** A template nested too deep for the stack here is the interpreter's to judge as well. */
function understood<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error === leave || error instanceof RangeError) return undefined;
    throw error;
  }
}

function block(nodes: unknown): Write {
  const writes = (nodes as readonly Syntax[]).map(statement);
  return (names) => {
    let text = "";
    for (const write of writes) text += write(names);
    return text;
  };
}

function statement(node: Syntax): Write {
  switch (node.type) {
    case "If": {
      const test = expression(node["test"]);
      const [then, otherwise] = [block(node["body"]), block(node["alternate"])];
      return (names) => (truth(test(names)) ? then(names) : otherwise(names));
    }
    case "For":
      return forLoop(node);
    case "Set": {
      const assignee = node["assignee"] as Syntax;
      if (assignee.type !== "Identifier" || !isNode(node["value"])) return leaving;
      const value = expression(node["value"]);
      return (names) => {
        names.own.set(assignee["value"] as string, value(names));
        return "";
      };
    }
    case "Comment":
      return () => "";
    case "StringLiteral": {
      const text = node["value"] as string;
      return () => text;
    }
    default: {
      const value = expression(node);
      return (names) => shown(value(names));
    }
  }
}

function forLoop(node: Syntax): Write {
  const variable = node["loopvar"] as Syntax;
  const iterable = node["iterable"] as Syntax;
  if (variable.type !== "Identifier" || iterable.type === "SelectExpression") return leaving;
  const items = expression(iterable);
  const [body, otherwise] = [block(node["body"]), block(node["defaultBlock"])];
  const name = variable["value"] as string;
  return (names) => {
    const inner: Names = { own: new Map(), outer: names };
    const list = items(inner);
    if (!isList(list)) throw leave;
    let text = "";
    for (const [index, item] of list.entries()) {
      inner.own.set("loop", new Loop(index, list));
      inner.own.set(name, item);
      text += body(inner);
    }
    return list.length === 0 ? otherwise(inner) : text;
  };
}

function expression(part: unknown): Evaluate {
  const node = part as Syntax;
  switch (node.type) {
    case "StringLiteral":
    case "IntegerLiteral": {
      const value = node["value"] as string | number;
      return () => value;
    }
    case "Identifier": {
      const name = node["value"] as string;
      return (names) => lookUp(names, name);
    }
    case "MemberExpression":
      return member(node);
    case "UnaryExpression": {
      if (operatorOf(node) !== "not") return leaving;
      const argument = expression(node["argument"]);
      return (names) => !truth(argument(names));
    }
    case "BinaryExpression":
      return binary(operatorOf(node), expression(node["left"]), expression(node["right"]));
    case "Ternary": {
      const [condition, yes, no] = [
        expression(node["condition"]),
        expression(node["trueExpr"]),
        expression(node["falseExpr"]),
      ];
      return (names) => (truth(condition(names)) ? yes(names) : no(names));
    }
    case "FilterExpression": {
      const filter = node["filter"] as Syntax;
      return filter.type === "Identifier" && filter["value"] === "trim" ? trimmed(node["operand"]) : leaving;
    }
    case "CallExpression": {
      const callee = node["callee"] as Syntax;
      const isStrip =
        callee.type === "MemberExpression" &&
        callee["computed"] === false &&
        (callee["property"] as Syntax)["value"] === "strip" &&
        (node["args"] as readonly unknown[]).length === 0;
      return isStrip ? trimmed(callee["object"]) : leaving;
    }
    case "TestExpression":
      return test(node);
    default:
      return leaving;
  }
}

function lookUp(names: Names, name: string): Value {
  for (let at: Names | undefined = names; at !== undefined; at = at.outer)
    if (at.own.has(name)) return at.own.get(name);
  // The interpreter's own.
  if (name === "namespace") throw leave;
  return undefined;
}

function member(node: Syntax): Evaluate {
  const property = node["property"] as Syntax;
  const object = expression(node["object"]);
  const named = node["computed"] === false && property.type === "Identifier";
  const key = named ? () => property["value"] as string : expression(property);
  return (names) => {
    const [from, at] = [object(names), key(names)];
    if (isList(from)) {
      return from.at(integer(at));
    }
    if (from instanceof Loop) return ofLoop(from, at);
    if (!isMessage(from) || typeof at !== "string") throw leave;
    if (at === "role" || at === "content") return from[at];
    if (methodsOfObjects.has(at)) throw leave;
    return undefined;
  };
}

const methodsOfObjects: ReadonlySet<string> = new Set(["get", "items", "keys", "values", "dictsort"]);

function ofLoop({ index, items }: Loop, name: Value): Value {
  switch (name) {
    case "index":
      return index + 1;
    case "index0":
      return index;
    case "first":
      return index === 0;
    case "last":
      return index === items.length - 1;
    case "length":
      return items.length;
    case "previtem":
      return items[index - 1];
    case "nextitem":
      return items[index + 1];
    default:
      throw leave;
  }
}

function binary(operator: string, left: Evaluate, right: Evaluate): Evaluate {
  switch (operator) {
    case "and":
      return (names) => {
        const value = left(names);
        return truth(value) ? right(names) : value;
      };
    case "or":
      return (names) => {
        const value = left(names);
        return truth(value) ? value : right(names);
      };
    case "==":
      return (names) => equal(left(names), right(names));
    case "!=":
      return (names) => !equal(left(names), right(names));
    case "+":
      return (names) => {
        const [a, b] = [left(names), right(names)];
        if (typeof a === "string" && typeof b === "string") return a + b;
        return integer(a) + integer(b);
      };
    case "-":
      return (names) => integer(left(names)) - integer(right(names));
    case "%":
      return (names) => integer(left(names)) % integer(right(names));
    case "<":
      return (names) => integer(left(names)) < integer(right(names));
    case ">":
      return (names) => integer(left(names)) > integer(right(names));
    case "in":
      return (names) => contains(right(names), left(names));
    case "not in":
      return (names) => !contains(right(names), left(names));
    default:
      return leaving;
  }
}

function equal(a: Value, b: Value): boolean {
  const none = (value: Value): boolean => value === null || value === undefined;
  if (none(a) || none(b)) return none(a) && none(b);
  if (typeof a === "object" || typeof a !== typeof b) throw leave;
  return a === b;
}

function contains(text: Value, part: Value): boolean {
  if (typeof text !== "string" || typeof part !== "string") throw leave;
  return text.includes(part);
}

function test(node: Syntax): Evaluate {
  const operand = expression(node["operand"]);
  const check = tests.get((node["test"] as Syntax)["value"] as string);
  if (check === undefined) return leaving;
  const negate = node["negate"] === true;
  return (names) => check(operand(names)) !== negate;
}

const tests: ReadonlyMap<string, (value: Value) => boolean> = new Map<string, (value: Value) => boolean>([
  ["defined", (value) => value !== undefined],
  ["undefined", (value) => value === undefined],
  ["none", (value) => value === null],
  ["string", (value) => typeof value === "string"],
]);

function trimmed(operand: unknown): Evaluate {
  const value = expression(operand);
  return (names) => {
    const text = value(names);
    if (typeof text !== "string") throw leave;
    return text.trim();
  };
}

function truth(value: Value): boolean {
  if (typeof value === "object" && value !== null) throw leave;
  return Boolean(value);
}

function integer(value: Value): number {
  if (!Number.isInteger(value)) throw leave;
  return value as number;
}

function shown(value: Value): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (typeof value === "boolean" || Number.isInteger(value)) return String(value as boolean | number);
  throw leave;
}

function leaving(): never {
  throw leave;
}

const operatorOf = (node: Syntax): string => (node["operator"] as Syntax)["value"] as string;

function isNode(part: unknown): boolean {
  return typeof part === "object" && part !== null;
}

function isList(value: Value): value is readonly Shown[] {
  return Array.isArray(value);
}

function isMessage(value: Value): value is Shown {
  return typeof value === "object" && value !== null && !isList(value) && !(value instanceof Loop);
}
