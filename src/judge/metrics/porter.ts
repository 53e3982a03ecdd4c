/** The Porter stemmer with NLTK's extensions, which is the one rouge_score uses. */

type Condition = (stem: string) => boolean;
type Rule = readonly [suffix: string, replacement: string, condition?: Condition];

// Words whose stem the rules would miss (NLTK's list).
const irregular: ReadonlyMap<string, string> = new Map([
  ["sky", "sky"],
  ["skies", "sky"],
  ["dying", "die"],
  ["lying", "lie"],
  ["tying", "tie"],
  ["news", "news"],
  ["innings", "inning"],
  ["inning", "inning"],
  ["outings", "outing"],
  ["outing", "outing"],
  ["cannings", "canning"],
  ["canning", "canning"],
  ["howe", "howe"],
  ["proceed", "proceed"],
  ["exceed", "exceed"],
  ["succeed", "succeed"],
]);

/** `c` for a consonant, `v` for a vowel, letter by letter; y is a vowel after a consonant. */
function pattern(word: string): string {
  let marks = "";
  for (let i = 0; i < word.length; i++) {
    const letter = word[i]!;
    const vowel = "aeiou".includes(letter) || (letter === "y" && i > 0 && marks[i - 1] === "c");
    marks += vowel ? "v" : "c";
  }
  return marks;
}

/** m: the number of vowel–consonant sequences. */
function measure(stem: string): number {
  return pattern(stem).split("vc").length - 1;
}

const positive: Condition = (stem) => measure(stem) > 0;
const beyondOne: Condition = (stem) => measure(stem) > 1;
const always: Condition = () => true;

function endsDoubleConsonant(word: string): boolean {
  return word.length >= 2 && word.at(-1) === word.at(-2) && pattern(word).endsWith("c");
}

/** *o: consonant, vowel, consonant other than w, x, y; by NLTK also a whole word of vowel and consonant. */
function endsShort(word: string): boolean {
  const marks = pattern(word);
  return (marks.endsWith("cvc") && !/[wxy]$/.test(word)) || marks === "vc";
}

/** The first rule whose suffix fits decides, even if its condition then forbids it. */
function apply(word: string, rules: readonly Rule[]): string {
  for (const [suffix, replacement, condition = always] of rules) {
    if (!word.endsWith(suffix)) continue;
    const stem = word.slice(0, word.length - suffix.length);
    return condition(stem) ? stem + replacement : word;
  }
  return word;
}

function step1a(word: string): string {
  if (word.endsWith("ies") && word.length === 4) return `${word.slice(0, -3)}ie`;
  return apply(word, [
    ["sses", "ss"],
    ["ies", "i"],
    ["ss", "ss"],
    ["s", ""],
  ]);
}

function step1b(word: string): string {
  if (word.endsWith("ied")) return word.slice(0, -3) + (word.length === 4 ? "ie" : "i");
  if (word.endsWith("eed")) return positive(word.slice(0, -3)) ? word.slice(0, -1) : word;
  const suffix = ["ed", "ing"].find(
    (ending) => word.endsWith(ending) && pattern(word.slice(0, -ending.length)).includes("v"),
  );
  if (suffix === undefined) return word;
  const stem = word.slice(0, -suffix.length);
  if (/(?:at|bl|iz)$/.test(stem)) return `${stem}e`;
  if (endsDoubleConsonant(stem)) return /[lsz]$/.test(stem) ? stem : stem.slice(0, -1);
  return measure(stem) === 1 && endsShort(stem) ? `${stem}e` : stem;
}

const step1c: readonly Rule[] = [["y", "i", (stem) => stem.length > 1 && pattern(stem).endsWith("c")]];

const step2Rules: readonly Rule[] = [
  ["ational", "ate", positive],
  ["tional", "tion", positive],
  ["enci", "ence", positive],
  ["anci", "ance", positive],
  ["izer", "ize", positive],
  ["bli", "ble", positive],
  ["alli", "al", positive],
  ["entli", "ent", positive],
  ["eli", "e", positive],
  ["ousli", "ous", positive],
  ["ization", "ize", positive],
  ["ation", "ate", positive],
  ["ator", "ate", positive],
  ["alism", "al", positive],
  ["iveness", "ive", positive],
  ["fulness", "ful", positive],
  ["ousness", "ous", positive],
  ["aliti", "al", positive],
  ["iviti", "ive", positive],
  ["biliti", "ble", positive],
  ["fulli", "ful", positive],
  // The l belongs to the stem, so that geology and archaeology end alike.
  ["logi", "log", (stem) => positive(`${stem}l`)],
];

function step2(word: string): string {
  let current = word;
  while (current.endsWith("alli") && positive(current.slice(0, -4))) current = current.slice(0, -2);
  return apply(current, step2Rules);
}

const step3: readonly Rule[] = [
  ["icate", "ic", positive],
  ["ative", "", positive],
  ["alize", "al", positive],
  ["iciti", "ic", positive],
  ["ical", "ic", positive],
  ["ful", "", positive],
  ["ness", "", positive],
];

const step4: readonly Rule[] = [
  ..."al ance ence er ic able ible ant ement ment ent".split(" ").map((s): Rule => [s, "", beyondOne]),
  ["ion", "", (stem) => beyondOne(stem) && /[st]$/.test(stem)],
  ..."ou ism ate iti ous ive ize".split(" ").map((s): Rule => [s, "", beyondOne]),
];

function step5a(word: string): string {
  if (!word.endsWith("e")) return word;
  const stem = word.slice(0, -1);
  const m = measure(stem);
  return m > 1 || (m === 1 && !endsShort(stem)) ? stem : word;
}

function step5b(word: string): string {
  return word.endsWith("ll") && beyondOne(word.slice(0, -1)) ? word.slice(0, -1) : word;
}

/** The stem of a lower-case word of letters and digits. Source: Porter, 1980, with the extensions of NLTK 3. */
export function porterStem(word: string): string {
  const known = irregular.get(word);
  if (known !== undefined) return known;
  if (word.length <= 2) return word;
  const inflected = apply(step1b(step1a(word)), step1c);
  return step5b(step5a(apply(apply(step2(inflected), step3), step4)));
}
