/** Sizes that may be unknown until a batch arrives: polynomials over named symbols, such as `B*S` or `P+1`. */

/** A size: a number, or the canonical text of a polynomial over symbols (`"T"`, `"3*S"`, `"P+S"`). */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** Coefficient by monomial; a monomial is its sorted symbols joined by `*`, the constant is `""`. */
type Polynomial = ReadonlyMap<string, number>;

const parsed = new Map<string, Polynomial>();

function parse(dim: Dim): Polynomial {
  if (typeof dim === "number") return new Map(dim === 0 ? [] : [["", dim]]);
  const known = parsed.get(dim);
  if (known !== undefined) return known;
  const polynomial = new Map<string, number>();
  for (const [, sign, term] of dim.replaceAll(" ", "").matchAll(/([+-]?)([^+-]+)/g)) {
    let coefficient = sign === "-" ? -1 : 1;
    const symbols: string[] = [];
    for (const factor of term!.split("*")) {
      if (/^\d+$/.test(factor)) coefficient *= Number(factor);
      else if (/^[A-Za-z_]\w*$/.test(factor)) symbols.push(factor);
      else throw new Error(`"${dim}" is not a size: expected numbers and names joined by + - *`);
    }
    addTerm(polynomial, symbols.sort().join("*"), coefficient);
  }
  parsed.set(dim, polynomial);
  return polynomial;
}

function addTerm(into: Map<string, number>, monomial: string, coefficient: number): void {
  const sum = (into.get(monomial) ?? 0) + coefficient;
  if (sum === 0) into.delete(monomial);
  else into.set(monomial, sum);
}

function print(polynomial: Polynomial): Dim {
  if (polynomial.size === 0) return 0;
  const constant = polynomial.get("");
  if (polynomial.size === 1 && constant !== undefined) return constant;
  const monomials = [...polynomial.keys()].filter((monomial) => monomial !== "").sort();
  if (constant !== undefined) monomials.push("");
  return monomials
    .map((monomial, position) => {
      const coefficient = polynomial.get(monomial)!;
      const sign = coefficient < 0 ? "-" : position === 0 ? "" : "+";
      const size = Math.abs(coefficient);
      const factors = monomial === "" ? [size] : size === 1 ? [monomial] : [size, monomial];
      return sign + factors.join("*");
    })
    .join("");
}

/** The one spelling of a size, so that equal sizes are `===`. */
export function canonical(dim: Dim): Dim {
  if (typeof dim === "number") return dim;
  let spelling = spellings.get(dim);
  if (spelling === undefined) spellings.set(dim, (spelling = print(parse(dim))));
  return spelling;
}

/** Sizes recur by the thousand in one graph, so what is computed of them is kept. */
const spellings = new Map<string, Dim>();
const products = new Map<string, Dim>();

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const sum = new Map(parse(a));
  for (const [monomial, coefficient] of parse(b)) addTerm(sum, monomial, coefficient);
  return print(sum);
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const key = `${a} ${b}`;
  const known = products.get(key);
  if (known !== undefined) return known;
  const product = new Map<string, number>();
  for (const [left, x] of parse(a)) {
    for (const [right, y] of parse(b)) {
      const symbols = [...left.split("*"), ...right.split("*")].filter((symbol) => symbol !== "");
      addTerm(product, symbols.sort().join("*"), x * y);
    }
  }
  const result = print(product);
  products.set(key, result);
  return result;
}

export function subtractDims(a: Dim, b: Dim): Dim {
  return addDims(a, multiplyDims(-1, b));
}

/** The number of elements of a shape. */
export function shapeSize(shape: Shape): Dim {
  return shape.reduce<Dim>((product, dim) => multiplyDims(product, dim), 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return (
    a.length === b.length && a.every((dim, axis) => dim === b[axis] || canonical(dim) === canonical(b[axis]!))
  );
}

/** The bare symbols that a size is made of. */
export function symbolsOf(dim: Dim): string[] {
  if (typeof dim === "number") return [];
  return [...new Set([...parse(dim).keys()].flatMap((monomial) => monomial.split("*")))].filter(
    (s) => s !== "",
  );
}

/** The size with every symbol given a value; a symbol without one is an error. */
export function evaluateDim(dim: Dim, values: ReadonlyMap<string, number>): number {
  if (typeof dim === "number") return dim;
  let sum = 0;
  for (const [monomial, coefficient] of parse(dim)) {
    let product = coefficient;
    for (const symbol of monomial.split("*")) {
      if (symbol === "") continue;
      const value = values.get(symbol);
      if (value === undefined) throw new Error(`the size ${dim} needs a value for ${symbol}`);
      product *= value;
    }
    sum += product;
  }
  return sum;
}

/** The terms of a size as (coefficient, symbols), for an encoder that computes it at run time. */
export function termsOf(dim: Dim): { coefficient: number; symbols: string[] }[] {
  return [...parse(dim)].map(([monomial, coefficient]) => ({
    coefficient,
    symbols: monomial.split("*").filter((symbol) => symbol !== ""),
  }));
}

/** `[B, 3*S, 64]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** NumPy's rule for two shapes, or `undefined` where they do not broadcast. */
export function broadcastShapes(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = canonical(a[axis - rank + a.length] ?? 1);
    const right = canonical(b[axis - rank + b.length] ?? 1);
    if (left !== right && left !== 1 && right !== 1) return undefined;
    result.push(left === 1 ? right : left);
  }
  return result;
}
