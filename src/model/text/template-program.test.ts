/** The fast way and the interpreter write the same text, or the fast way leaves it to the interpreter. */
import { readFileSync } from "node:fs";
import * as jinja from "@huggingface/jinja";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chatMlWithSystem } from "../../../test/fixtures/text.ts";
import { templateProgram } from "./template-program.ts";

const golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/text/templates.json", import.meta.url), "utf8"),
) as { readonly templates: Readonly<Record<string, string>> };

const variables = { bos_token: "<s>", eos_token: "</s>", tools: null };
/** Those that the interpreter brings along. */
const constants = { true: true, false: false, none: null };

const message = fc.record({
  role: fc.constantFrom("system", "user", "assistant", "tool"),
  content: fc.constantFrom("", " a ", "Good day!", "two\nlines", "<|im_end|>", "你好"),
});

/** What each of them wrote; an error of the interpreter is its message. */
function both(source: string, given: Readonly<Record<string, unknown>>) {
  const template = new jinja.Template(source);
  const fast = templateProgram(template.parsed)({ ...constants, ...given });
  try {
    return { fast, slow: template.render({ ...given }) };
  } catch (error) {
    return { fast, slow: error as Error };
  }
}

describe("templates of models", () => {
  const ofModels = { ...golden.templates, "SmolLM2's": chatMlWithSystem };
  const left = Object.entries(ofModels).filter(
    ([, source]) =>
      both(source, {
        ...variables,
        messages: [
          { role: "user", content: "a" },
          { role: "assistant", content: "b" },
        ],
        add_generation_prompt: false,
      }).fast === undefined,
  );

  test("most of them are understood", () => {
    expect(left.map(([name]) => name)).toEqual([
      "headers, trimmed, dated",
      "reasoning only in the last turn",
    ]);
  });

  test.each(Object.entries(ofModels))("%s: any conversation", (_, source) => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), fc.boolean(), (messages, asked) => {
        const { fast, slow } = both(source, { ...variables, messages, add_generation_prompt: asked });
        if (fast !== undefined) expect(fast).toBe(slow);
      }),
      { numRuns: 60, seed: 1 },
    );
  });
});

describe("what is understood means what it means to the interpreter", () => {
  test.each([
    "{% set loop_messages = messages %}{% for m in loop_messages %}{{ loop.index0 % 2 }}{{ loop.last }}{{ m.role | trim }}{% else %}none{% endfor %}",
    "{% for m in messages %}{% set seen = m.content %}{% endfor %}{{ seen }}{{ bos_token if messages[0].role == 'user' else eos_token }}",
    "{% for m in messages %}{% if m['role'] not in 'user assistant' or loop.first and not m.tool_calls %}{{ m['content'].strip() + '' }}{% elif loop.previtem is defined %}{{ loop.previtem.role + '>' }}{% endif %}{% endfor %}",
    "{{ 1 + 2 - 1 }}{{ 2 > 1 }}{{ none }}{{ nothing }}{{ nothing is defined }}{{ tools == none }}{{ 'a' == 'a' }}{{ messages[-1].content is string }}{{ tools or 'x' }}{{ '' and 'y' }}",
    "{% for m in messages %}{{ loop.index }}/{{ loop.length }} {% if not loop.last %}{{ loop.nextitem.content }}{% endif %}{% endfor %}",
  ])("%s", (source) => {
    const messages = [
      { role: "system", content: " S " },
      { role: "user", content: "q" },
      { role: "assistant", content: " r" },
    ];
    for (const shown of [messages, messages.slice(1), messages.slice(2)]) {
      const { fast, slow } = both(source, { ...variables, messages: shown, add_generation_prompt: true });
      expect(fast).toBe(slow);
    }
  });

  test.each([
    "{{ messages }}",
    "{{ messages | length }}",
    "{% for k, v in messages[0].items() %}{{ k }}{% endfor %}",
    "{{ 1.5 }}",
    "{{ 'a' == 1 }}",
    "{{ 'a' + 1 }}",
    "{{ namespace(x=1) }}",
    "{{ raise_exception('no') }}",
    "{% macro f() %}x{% endmacro %}{{ f() }}",
    "{% if messages %}x{% endif %}",
    "{{ messages[0].get }}",
    "{{ bos_token[0] }}",
    "{{ messages[0] is constructor }}",
    "{{ messages[half] }}",
  ])("%s is left to it", (source) => {
    const messages = [{ role: "user", content: "q" }];
    expect(
      templateProgram(new jinja.Template(source).parsed)({ ...variables, half: 0.5, messages }),
    ).toBeUndefined();
  });

  test("what is nested too deep is left to it, and no error here", () => {
    const { parsed } = new jinja.Template(`{{ ${"'a'+".repeat(50_000)}'a' }}`);
    expect(templateProgram(parsed)({})).toBeUndefined();
  });
});

/** Templates at random, of what is understood and of what is close to it. */
const { part } = fc.letrec<{ value: string; part: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom(
      ..."'a'|''|0|1|2|true|none|nothing|eos_token|tools|messages|m|m.role|m['content']|m.tool_calls".split(
        "|",
      ),
      ..."loop.index|loop.first|loop.last|loop.previtem|messages[0]|messages[-1].content|messages[1]['role']".split(
        "|",
      ),
    ),
    fc
      .tuple(
        tie("value"),
        fc.constantFrom(..."+ - % < > == != and or in ~".split(" "), "not in"),
        tie("value"),
      )
      .map(([a, operator, b]) => `(${a} ${operator} ${b})`),
    fc
      .tuple(tie("value"), fc.constantFrom("|trim", ".strip()", "|length", ".role", "[0]"))
      .map(([value, then]) => `(${value})${then}`),
    fc
      .tuple(
        tie("value"),
        fc.constantFrom("is", "is not"),
        fc.constantFrom("defined", "none", "string", "number"),
      )
      .map(([value, is, test]) => `(${value} ${is} ${test})`),
    tie("value").map((value) => `(not ${value})`),
    fc.tuple(tie("value"), tie("value"), tie("value")).map(([a, b, c]) => `(${a} if ${b} else ${c})`),
  ),
  part: fc.oneof(
    { maxDepth: 3 },
    tie("value").map((value) => `{{ ${value} }}`),
    fc
      .tuple(fc.constantFrom("m", "x", "eos_token", "loop"), tie("value"))
      .map(([name, value]) => `{% set ${name} = ${value} %}`),
    fc.tuple(tie("part"), tie("part")).map(([a, b]) => `${a}\n ${b}`),
    fc
      .tuple(tie("value"), tie("part"), tie("part"))
      .map(([value, a, b]) => `{%- if ${value} %}${a}{% else -%} ${b}{% endif %}`),
    fc
      .tuple(fc.constantFrom("messages", "messages[1:]", "nothing"), tie("part"))
      .map(([list, body]) => `{% for m in ${list} %}${body}{{ x }}{% else %}-{% endfor %}`),
  ),
}));

test("templates at random: the same text, or left to it", () => {
  let understood = 0;
  const some = fc.property(part, fc.array(message, { maxLength: 3 }), (source, messages) => {
    const { fast, slow } = both(`{% for m in messages %}${source}{% endfor %}${source}`, {
      ...variables,
      messages,
    });
    if (fast === undefined) return;
    understood++;
    expect(fast).toBe(slow);
  });
  fc.assert(some, { numRuns: 500, seed: 2 });
  expect(understood).toBeGreaterThan(50);
});
