/** One line of train.jsonl, validation.jsonl or test.jsonl: what an example looks like on disk. */
import { UserError, excerpt } from "../../util/index.ts";
import type { Example, Message, Role } from "../../model/text/index.ts";

const ROLES: ReadonlySet<string> = new Set<Role>(["system", "user", "assistant", "tool"]);
/** Bounds on one line, far above any honest conversation. */
const MAX_MESSAGES = 10_000;
const MAX_ID_LENGTH = 1_000;

/** The example as a line, keys always in one order; what is the default is left out. */
export function exampleToLine(example: Example): string {
  const messages = example.messages.map(({ role, content, supervised }) =>
    supervised === false && role === "assistant" ? { role, content, supervised } : { role, content },
  );
  return JSON.stringify({
    dialogue_id: example.dialogueId,
    messages,
    intent: example.intent,
    turn: example.turn,
    weight: example.weight === 1 ? undefined : example.weight,
  });
}

/** Multiplies the weight of a line that `exampleToLine` made; its weight, where it has one, stands last. */
export function lineWithWeight(line: string, weight: number): string {
  const own = /,"weight":([-+.e0-9]+)\}$/.exec(line);
  const product = weight * (own === null ? 1 : Number(own[1]));
  const bare = own === null ? line.slice(0, -1) : line.slice(0, own.index);
  return product === 1 ? `${bare}}` : `${bare},"weight":${Math.round(product * 1e6) / 1e6}}`;
}

/** Checks and converts a parsed line. `at` is `file:line`, for the error. */
export function lineToExample(value: unknown, at: string): Example {
  const fail = (problem: string): never => {
    throw new UserError(problem, {
      at,
      next: "Mend the line, or make the data set again with `attune data prepare`.",
    });
  };
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return fail("an example must be a JSON object");
  }
  const row = value as Record<string, unknown>;
  const id = row["dialogue_id"];
  if (typeof id !== "string" || id === "" || id.length > MAX_ID_LENGTH) {
    return fail(`dialogue_id must be a text of 1–${MAX_ID_LENGTH} characters, not ${shown(id)}`);
  }
  const list = row["messages"];
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_MESSAGES) {
    return fail(`messages must be a list of 1–${MAX_MESSAGES} messages`);
  }
  let supervised = 0;
  const messages = list.map((item: unknown, index): Message => {
    const message = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
    const { role, content, supervised: flag } = message;
    if (typeof role !== "string" || !ROLES.has(role)) {
      return fail(`message ${index + 1}: role must be system, user, assistant or tool, not ${shown(role)}`);
    }
    if (typeof content !== "string") return fail(`message ${index + 1}: content must be a text`);
    if (flag !== undefined && typeof flag !== "boolean") {
      return fail(`message ${index + 1}: supervised must be true or false, not ${shown(flag)}`);
    }
    if (role === "assistant" && flag !== false) supervised += 1;
    return flag === false
      ? { role: role as Role, content, supervised: false }
      : { role: role as Role, content };
  });
  // A row with nothing to learn would count in every figure and teach nothing.
  if (supervised === 0) return fail("no message of this example is to be learned");
  const { intent, turn, weight } = row;
  if (intent !== undefined && typeof intent !== "string")
    return fail(`intent must be a text, not ${shown(intent)}`);
  if (turn !== undefined && !Number.isSafeInteger(turn))
    return fail(`turn must be a whole number, not ${shown(turn)}`);
  if (weight !== undefined && !(typeof weight === "number" && weight > 0 && Number.isFinite(weight))) {
    return fail(`weight must be a number above 0, not ${shown(weight)}`);
  }
  return {
    dialogueId: id,
    messages,
    ...(intent === undefined ? {} : { intent }),
    ...(turn === undefined ? {} : { turn: turn as number }),
    ...(weight === undefined ? {} : { weight: weight as number }),
  };
}

function shown(value: unknown): string {
  return excerpt(JSON.stringify(value) ?? "nothing", 60);
}
