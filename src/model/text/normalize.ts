/** What a tokenizer does to text before cutting it: Unicode normal forms, replacements, a prefix. */
import { type NormalizerConfig, type Pattern, compilePattern } from "./tokenizer-json.ts";

/** `first` is true for text that opens a section (the start, or what follows an added token). */
export type Normalizer = (text: string, first: boolean) => string;

const builders: {
  readonly [T in NormalizerConfig["type"]]: (
    config: Extract<NormalizerConfig, { readonly type: T }>,
  ) => Normalizer;
} = {
  NFC: () => (text) => text.normalize("NFC"),
  NFD: () => (text) => text.normalize("NFD"),
  NFKC: () => (text) => text.normalize("NFKC"),
  NFKD: () => (text) => text.normalize("NFKD"),
  Lowercase: () => (text) => text.toLowerCase(),
  Prepend:
    ({ prepend }) =>
    (text, first) =>
      first && text !== "" ? prepend + text : text,
  Replace: ({ pattern, content }) => replacer(pattern, content),
  Strip:
    ({ strip_left: left, strip_right: right }) =>
    (text) => {
      const opened = left ? text.trimStart() : text;
      return right ? opened.trimEnd() : opened;
    },
  Sequence: ({ normalizers }) => {
    const steps = normalizers.map(normalizer);
    return (text, first) => steps.reduce((result, step) => step(result, first), text);
  },
};

function replacer(pattern: Pattern, content: string): Normalizer {
  if ("String" in pattern) return (text) => text.replaceAll(pattern.String, () => content);
  const expression = compilePattern(pattern);
  return (text) => text.replace(expression, () => content);
}

export function normalizer(config: NormalizerConfig): Normalizer {
  return (builders[config.type] as (config: NormalizerConfig) => Normalizer)(config);
}
