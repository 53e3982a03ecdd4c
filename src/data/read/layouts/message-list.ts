/** Lists of {role, content} as OpenAI and others write them, tool calls and content parts included. */
import type { Role } from "../../../model/text/index.ts";
import type { RecordMessage } from "../../record.ts";
import { RowFault, describeValue, safeJson } from "../fault.ts";
import { firstOwn, isObject, own, type RowContext, type RowObject } from "./layout.ts";
import { requireRole } from "./roles.ts";

export interface MessageKeys {
  readonly role: string;
  readonly content: string;
}

const OPENAI_KEYS: MessageKeys = { role: "role", content: "content" };

/** The names that the first item uses for speaker and text. */
function keysOf(list: readonly unknown[]): MessageKeys {
  const first = list.find(isObject) ?? {};
  return {
    role: firstOwn(first, ["role", "from", "speaker"]) ?? OPENAI_KEYS.role,
    content: firstOwn(first, ["content", "value", "text", "utterance"]) ?? OPENAI_KEYS.content,
  };
}

/** Every item as a message; anything else in the list is a fault of the row. */
export function mapMessages(
  list: readonly unknown[],
  context: RowContext,
  keys: MessageKeys = keysOf(list),
): RecordMessage[] {
  const messages: RecordMessage[] = [];
  for (let i = 0; i < list.length; i++) messages.push(mapMessage(list[i], `message ${i + 1}`, context, keys));
  return messages;
}

function mapMessage(item: unknown, where: string, context: RowContext, keys: MessageKeys): RecordMessage {
  if (!isObject(item)) {
    throw new RowFault(
      "wrong-type",
      `${where} must be an object with a role and a content; it is ${describeValue(item)}`,
    );
  }
  const word = own(item, keys.role);
  const role: Role = word === "function_call" ? "assistant" : requireRole(word, where);
  let content = contentText(own(item, keys.content), item, where, role);
  const calls = toolCalls(item);
  if (word === "function_call") content = renderCall(content);
  if (calls.length > 0 || word === "function_call" || role === "tool") {
    if (context.tools === "reject") {
      throw new RowFault(
        "tool-use",
        `${where} ${role === "tool" ? "is a tool's result" : "calls a tool"}, and tools are to be rejected`,
      );
    }
    if (role !== "tool") context.count("# tool calls were written into the text as <tool_call> JSON");
    if (calls.length > 0)
      content = [content, ...calls.map(renderCall)].filter((part) => part !== "").join("\n");
  }
  const supervised = supervision(item, role, where);
  const intent = own(item, "intent");
  return {
    role,
    content,
    ...(supervised ? {} : { supervised: false }),
    ...(typeof intent === "string" && intent !== "" ? { intent } : {}),
  };
}

/** `supervised: false` (our own rows) or `weight: 0` (OpenAI's fine-tuning rows) on an assistant message. */
function supervision(item: RowObject, role: Role, where: string): boolean {
  const supervised = own(item, "supervised");
  if (supervised !== undefined && supervised !== null && typeof supervised !== "boolean") {
    throw new RowFault(
      "wrong-type",
      `\`supervised\` of ${where} must be true or false; it is ${describeValue(supervised)}`,
    );
  }
  return role !== "assistant" || (supervised !== false && own(item, "weight") !== 0);
}

/** Text, null beside tool calls, or a list of text parts. */
function contentText(content: unknown, item: RowObject, where: string, role: Role): string {
  if (typeof content === "string") return content;
  if (content === undefined || content === null) {
    if (role === "assistant" && toolCalls(item).length > 0) return "";
    throw new RowFault("missing-field", `${where} has no content`);
  }
  if (!Array.isArray(content)) {
    throw new RowFault("wrong-type", `the content of ${where} must be text; it is ${describeValue(content)}`);
  }
  return content
    .map((part: unknown) => {
      const text = typeof part === "string" ? part : isObject(part) ? own(part, "text") : undefined;
      if (typeof text === "string") return text;
      const type = isObject(part) ? own(part, "type") : part;
      throw new RowFault(
        "unsupported-content",
        `${where} has a part that is no text: ${describeValue(type)}`,
      );
    })
    .join("\n");
}

function toolCalls(item: RowObject): readonly unknown[] {
  const calls = own(item, "tool_calls");
  if (Array.isArray(calls) && calls.length > 0) return calls;
  const single = own(item, "function_call");
  return isObject(single) ? [single] : [];
}

/** One call as the Hermes and Qwen templates write it. */
function renderCall(call: unknown): string {
  const inner = isObject(call) && isObject(own(call, "function")) ? own(call, "function") : call;
  if (!isObject(inner))
    return `<tool_call>\n${typeof inner === "string" ? inner : safeJson(inner)}\n</tool_call>`;
  let parameters = own(inner, "arguments");
  if (typeof parameters === "string") {
    try {
      parameters = JSON.parse(parameters) as unknown;
    } catch {
      // Arguments that are no JSON stay the text they are.
    }
  }
  return `<tool_call>\n${safeJson({ name: own(inner, "name"), arguments: parameters })}\n</tool_call>`;
}

/** Tool definitions go to the end of the system message, as the Hermes and Qwen templates put them. */
export function withTools(messages: RecordMessage[], tools: unknown, context: RowContext): RecordMessage[] {
  if (tools === undefined || tools === null || tools === "" || (Array.isArray(tools) && tools.length === 0)) {
    return messages;
  }
  if (context.tools === "reject")
    throw new RowFault("tool-use", "the row defines tools, and tools are to be rejected");
  context.count("# rows define tools: they were written into the system message as <tools> JSON");
  const text = `<tools>\n${typeof tools === "string" ? tools : safeJson(tools)}\n</tools>`;
  const first = messages[0];
  return first?.role === "system"
    ? [{ ...first, content: `${first.content}\n\n${text}` }, ...messages.slice(1)]
    : [{ role: "system", content: text }, ...messages];
}

/** A system text in front, unless the messages bring their own. */
export function withSystem(messages: RecordMessage[], system: string | undefined): RecordMessage[] {
  return system === undefined || messages[0]?.role === "system"
    ? messages
    : [{ role: "system", content: system }, ...messages];
}
