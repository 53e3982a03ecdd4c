/** A model's chat template: messages to the text the model was trained on, by its own Jinja source. */
import * as jinja from "@huggingface/jinja";
import { UserError, errorMessage, excerpt } from "../../util/index.ts";
import type { Message } from "./conversation.ts";
import { templateProgram } from "./template-program.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChatTemplate {
  readonly source: string;
  /** True when the model brought no template and ChatML stands in for it. */
  readonly isDefault: boolean;
  /** What the template sees beside the messages, in a fixed order, for the fingerprint. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** Throws a `UserError` with the template's own words when it refuses the messages. */
  render(messages: readonly Message[], options: { readonly addGenerationPrompt: boolean }): string;
}

export interface ChatTemplateOptions {
  /** What `strftime_now` answers, so that training and serving read the same date. Default: Llama 3.1's own, 26 July 2024. */
  readonly date?: Date;
  /** Further variables the template asks for, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, string | number | boolean>>;
  /** Where the template came from, for messages. */
  readonly at?: string;
}

/**
 * For a model without a template: ChatML, opened by BOS where the tokenizer opens texts with it. Where the
 * vocabulary has no `<|im_end|>`, turns end with the model's own end-of-sequence token, which it knows.
 */
function chatMl(tokenizer: Tokenizer): string {
  const knowsEnd = tokenizer.specialTokens.some((token) => token.content === "<|im_end|>");
  if (!knowsEnd && tokenizer.eosId === undefined) {
    throw new UserError(
      "the model has no chat template and no end-of-sequence token: replies would never end",
      {
        next: "Use an instruction-tuned model, or add eos_token to its tokenizer_config.json.",
      },
    );
  }
  return (
    `${tokenizer.addsBos ? "{{ bos_token }}" : ""}{% for message in messages %}` +
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + " +
    `${knowsEnd ? "'<|im_end|>'" : "eos_token"} + '\n' }}{% endfor %}` +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
  );
}

const pinnedDate = new Date(Date.UTC(2024, 6, 26));
const maxTemplateLength = 500_000;
/** A template that asks for a longer range loops for the sake of looping. */
const maxRange = 100_000;

/** `source` undefined: the documented default, ChatML. */
export function chatTemplate(
  source: string | undefined,
  tokenizer: Tokenizer,
  options: ChatTemplateOptions = {},
): ChatTemplate {
  const at = options.at === undefined ? {} : { at: options.at };
  const text = source ?? chatMl(tokenizer);
  if (text.length > maxTemplateLength) {
    throw new UserError(
      `the chat template has ${text.length} characters; at most ${maxTemplateLength} are read`,
      at,
    );
  }
  let program: unknown;
  try {
    program = new jinja.Template(text).parsed;
  } catch (error) {
    throw new UserError(`the chat template cannot be read: ${excerpt(errorMessage(error), 200)}`, {
      ...at,
      next: "Mend the template, or remove it to use ChatML.",
      cause: error,
    });
  }
  const date = options.date ?? pinnedDate;
  const tokens = Object.fromEntries(
    Object.entries({
      bos_token: tokenizer.bosId,
      eos_token: tokenizer.eosId,
      pad_token: tokenizer.paddingId,
      unk_token: tokenizer.unknownId,
    }).flatMap(([name, id]) => (id === undefined ? [] : [[name, tokenizer.tokenOf(id) ?? ""] as const])),
  );
  const variables = Object.entries(options.variables ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const quick = templateProgram(program);
  const fixed = {
    ...tokens,
    ...Object.fromEntries(variables),
    ...constants,
    strftime_now: (format: string) => strftime(date, format),
  };
  return {
    source: text,
    isDefault: source === undefined,
    settings: [
      ...Object.entries(tokens),
      ["date", date.toISOString().slice(0, 10)],
      ...variables.map(([name, value]): [string, string] => [`variable ${name}`, JSON.stringify(value)]),
    ],
    render: (messages, { addGenerationPrompt }) => {
      const given = {
        ...fixed,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: addGenerationPrompt,
      };
      try {
        return quick(given) ?? run(program, given);
      } catch (error) {
        const roles = messages.map((message) => message.role).join(", ");
        throw new UserError(
          `the chat template refuses a conversation of ${excerpt(roles, 60)}: ${excerpt(errorMessage(error), 200)}`,
          { ...at, next: "Bring the conversation into the order that the template asks for.", cause: error },
        );
      }
    },
  };
}

/** The package's own declarations name their files without extensions, which Node's resolution does not follow. */
interface Jinja {
  readonly Environment: new () => { set(name: string, value: unknown): void };
  readonly Interpreter: new (environment: unknown) => { run(program: unknown): { readonly value: unknown } };
}

/** What `Template.render` does, with globals of our own: its date is today's and its ranges have no end. */
function run(program: unknown, variables: Readonly<Record<string, unknown>>): string {
  const { Environment, Interpreter } = jinja as unknown as Jinja;
  const environment = new Environment();
  for (const [name, value] of Object.entries(variables)) environment.set(name, value);
  return String(new Interpreter(environment).run(program).value);
}

/** As transformers sets them: no tools and no documents are `none`, not undefined. */
const constants = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  tools: null,
  documents: null,
  range: boundedRange,
  raise_exception: (problem: string) => {
    throw new Error(problem);
  },
};

function boundedRange(...bounds: readonly number[]): number[] {
  const [start, stop, step] =
    bounds.length === 1 ? [0, bounds[0] ?? 0, 1] : [bounds[0] ?? 0, bounds[1] ?? 0, bounds[2] ?? 1];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= maxRange)) throw new Error(`range() of ${count} numbers; at most ${maxRange} are allowed`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

const months = "January,February,March,April,May,June,July,August,September,October,November,December".split(
  ",",
);
const days = "Sunday,Monday,Tuesday,Wednesday,Thursday,Friday,Saturday".split(",");

const two = (value: number): string => String(value).padStart(2, "0");

const dateFields: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => days[date.getUTCDay()]!.slice(0, 3),
  A: (date) => days[date.getUTCDay()]!,
  b: (date) => months[date.getUTCMonth()]!.slice(0, 3),
  B: (date) => months[date.getUTCMonth()]!,
  d: (date) => two(date.getUTCDate()),
  H: (date) => two(date.getUTCHours()),
  I: (date) => two(date.getUTCHours() % 12 || 12),
  m: (date) => two(date.getUTCMonth() + 1),
  M: (date) => two(date.getUTCMinutes()),
  p: (date) => (date.getUTCHours() < 12 ? "AM" : "PM"),
  S: (date) => two(date.getUTCSeconds()),
  y: (date) => two(date.getUTCFullYear() % 100),
  Y: (date) => String(date.getUTCFullYear()),
  "%": () => "%",
};

/** Python's strftime for the directives that templates use, in UTC; `-` drops leading zeros. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (directive, bare: string, name: string) => {
    const value = dateFields[name]?.(date) ?? directive;
    return bare === "" ? value : value.replace(/^0+(?=.)/, "");
  });
}
