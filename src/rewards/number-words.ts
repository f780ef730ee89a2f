/** Numbers that a text names in English words, and those that its words imply: "twice", "a dozen", "per week". */
import { type Operand, type Token, tokensOf } from "./expressions.ts";
import {
  calculated,
  type Exact,
  exactText,
  findNumbers,
  fraction,
  plain,
  readNumber,
} from "./numbers.ts";
import { type Unit, unitNamed } from "./units.ts";

const numbered = (names: string, first: number) =>
  names.split(" ").map((name, i) => [name, BigInt(first + i)] as const);

const small: ReadonlyMap<string, bigint> = new Map([
  ...numbered("zero one two three four five six seven eight nine ten eleven twelve thirteen", 0),
  ...numbered("fourteen fifteen sixteen seventeen eighteen nineteen", 14),
]);
const tens: ReadonlyMap<string, bigint> = new Map(
  numbered("twenty thirty forty fifty sixty seventy eighty ninety", 2).map(
    ([name, value]) => [name, value * 10n] as const,
  ),
);
const magnitudes: ReadonlyMap<string, bigint> = new Map([
  ["hundred", 100n],
  ["thousand", 1000n],
  ["k", 1000n],
  ["million", 1_000_000n],
  ["billion", 1_000_000_000n],
  ["dozen", 12n],
  ["dozens", 12n],
  ["pair", 2n],
  ["pairs", 2n],
]);
/** Parts of a whole, by what it is divided by. */
const parts: ReadonlyMap<string, bigint> = new Map([
  ["half", 2n],
  ["halves", 2n],
  ["quarter", 4n],
  ...numbered("third fourth fifth sixth seventh eighth ninth tenth", 3),
]);
const multipliers: ReadonlyMap<string, bigint> = new Map([
  ["twice", 2n],
  ["double", 2n],
  ["doubles", 2n],
  ["doubled", 2n],
  ["doubling", 2n],
  ["both", 2n],
  ["couple", 2n],
  ["twins", 2n],
  ["thrice", 3n],
  ["triple", 3n],
  ["triples", 3n],
  ["tripled", 3n],
  ["triplets", 3n],
  ["quadruple", 4n],
  ["quadrupled", 4n],
]);

/**
 * What everybody knows of a word: how many of a smaller unit it is, or of it make a larger one. What units.ts knows is
 * added wherever two units of a kind are named.
 */
const implied: Readonly<Record<string, readonly number[]>> = {
  minute: [60],
  hour: [60],
  hourly: [60],
  day: [24, 7],
  daily: [24, 7],
  week: [7, 52],
  weekly: [7, 52, 4],
  weekend: [2],
  weekday: [5],
  fortnight: [14],
  month: [4, 12, 30],
  monthly: [4, 12, 30],
  year: [12, 52, 365],
  yearly: [12, 52, 365],
  annual: [12, 52, 365],
  annually: [12, 52, 365],
  decade: [10],
  century: [100],
  foot: [12, 3],
  feet: [12, 3],
  yard: [3],
  gallon: [4, 8],
  quart: [2, 4],
  pint: [2],
  cent: [100],
  penny: [100, 1],
  nickel: [5],
  dime: [10],
  quarter: [25, 4],
  pennie: [100, 1],
  centurie: [100],
  percent: [100],
  percentage: [100],
  average: [2],
};

/** Whose values are hundredths of a dollar. */
const coins = new Set(["cent", "penny", "pennie", "nickel", "dime", "quarter"]);

const singular = (word: string) => (word.endsWith("s") ? word.slice(0, -1) : word);
const partOf = (word: string) => parts.get(word) ?? parts.get(singular(word));

/** Whether a word behind a number changes it: "2 dozen", "3 million". */
export const isNumberWord = (word: string): boolean => {
  const low = word.toLowerCase();
  return small.has(low) || tens.has(low) || magnitudes.has(low) || partOf(low) !== undefined;
};

/** "half", "thirds", "percent": what may stand before "of". */
export const isShareWord = (word: string): boolean =>
  partOf(word.toLowerCase()) !== undefined || word === "percent";

/** "twice", "half": a calculation that begins behind such a word is only part of one. */
export const scalesWhatFollows = (word: string): boolean =>
  multipliers.has(word.toLowerCase()) || partOf(word.toLowerCase()) !== undefined;

/** Numbers by their values; equal is equal in value. */
export class KnownNumbers {
  readonly #texts: Set<string>;

  constructor(from?: KnownNumbers) {
    this.#texts = new Set(from === undefined ? ["0", "1"] : from.#texts);
  }

  has(value: Exact): boolean {
    return this.#texts.has(exactText(value)) || this.#texts.has(exactText(opposite(value)));
  }

  add(value: Exact | null): void {
    if (value) this.#texts.add(exactText(value));
  }

  /** A percentage: as its number and as a share, and what it leaves of the whole or makes of it. */
  addPercent(value: Exact): void {
    const share = calculated(value, "/", exact(100n))!;
    for (const sign of ["+", "-"] as const) {
      this.add(calculated(exact(100n), sign, value));
      this.add(calculated(exact(1n), sign, share));
    }
    this.add(value);
    this.add(share);
    this.add(exact(100n));
    this.add(calculated(exact(1n), "/", exact(100n)));
  }

  /** A result, and the whole numbers that it is rounded to. */
  addResult({ value, isPercent }: Operand): void {
    if (isPercent) this.addPercent(value);
    this.add(value);
    const floor = value.numerator / value.denominator;
    for (const rounded of [floor, floor + 1n]) if (value.denominator > 1n) this.add(exact(rounded));
  }

  /** A share of a whole, with what it leaves, and its two numbers. */
  addShare(value: Exact): void {
    this.add(value);
    this.add(calculated(exact(1n), "-", value));
    this.add(exact(value.numerator));
    this.add(exact(value.denominator));
    this.add(exact(value.denominator - value.numerator));
  }

  /** What a text states: in digits, in words, or by its fractions and percentages. */
  addStated(text: string): void {
    const read = plain(text);
    for (const { text: written } of findNumbers(read)) {
      const number = readNumber(written);
      if (!number) continue;
      if (number.isPercent) this.addPercent(number.value);
      else if (number.value.denominator > 1n) this.addShare(number.value);
      else this.add(number.value);
      if (/[$€£]/.test(written)) this.add(calculated(number.value, "*", exact(100n))); // in cents
    }
    this.#addWords(tokensOf(read));
  }

  /** What the words of a text imply, with the units that other texts named. */
  addImplied(text: string, units: Set<Unit>): void {
    for (const { text: word } of tokensOf(plain(text))) {
      const low = word.toLowerCase();
      for (const value of implied[low] ?? implied[singular(low)] ?? []) {
        this.add(exact(BigInt(value)));
        if (coins.has(singular(low))) this.add(calculated(exact(BigInt(value)), "/", exact(100n)));
      }
      if (word === "%") this.add(exact(100n));
      const unit = word.length > 1 ? unitNamed(word) : null;
      if (!unit || units.has(unit)) continue;
      for (const other of units) this.#addRatio(unit, other);
      units.add(unit);
    }
  }

  #addRatio(a: Unit, b: Unit): void {
    if (a.dimension !== b.dimension) return;
    const ratio = Math.max(a.factor / b.factor, b.factor / a.factor);
    const whole = Math.round(ratio);
    if (Math.abs(ratio - whole) < 1e-9 * ratio) this.add(exact(BigInt(whole)));
  }

  /** "twenty-five", "two hundred and six", "3 million", "two thirds", "one and a half", "twice". */
  #addWords(tokens: readonly Token[]): void {
    const words = tokens.filter(({ text }) => text !== "-");
    for (let at = 0; at < words.length; ) {
      const read = readQuantity(words, at);
      const packs = words.slice(at, read?.end ?? at).flatMap((token) => packOf(token) ?? []);
      for (const pack of packs) {
        this.add(pack);
        this.add(calculated(read!.value, "/", pack)); // how many of them
      }
      const behind = read?.end ?? at;
      const isPercent = words[behind]?.text.toLowerCase() === "percent";
      if (read && isPercent) this.addPercent(read.value);
      else this.add(read?.value ?? null);
      const divisor = partOf(words[behind]?.text.toLowerCase() ?? "");
      if (divisor !== undefined) this.#addPart(read?.value ?? exact(1n), divisor);
      const multiplier = multipliers.get(words[at]!.text.toLowerCase());
      if (multiplier !== undefined) this.add(exact(multiplier));
      if (read && spells(words, behind, "and a half")) {
        this.add(calculated(read.value, "+", { numerator: 1n, denominator: 2n }));
      }
      at = Math.max(at + 1, behind);
    }
  }

  #addPart(count: Exact, divisor: bigint): void {
    const share = calculated(count, "/", exact(divisor));
    if (!share) return;
    this.add(exact(divisor));
    this.addShare(share);
  }
}

/** How many a dozen, or a pair, is. */
function packOf({ text }: Token): Exact | null {
  const size = /^(?:dozens?|pairs?)$/i.test(text) ? magnitudes.get(text.toLowerCase()) : undefined;
  return size === undefined ? null : exact(size);
}

const exact = (numerator: bigint): Exact => ({ numerator, denominator: 1n });
const opposite = ({ numerator, denominator }: Exact) => fraction(-numerator, denominator)!;

const spells = (tokens: readonly Token[], at: number, phrase: string): boolean =>
  phrase.split(" ").every((word, i) => tokens[at + i]?.text.toLowerCase() === word);

const QUANTITY_WORDS_MAX = 16;

/** A number of words, or of digits and a magnitude: Σ over thousands of (Σ hundreds, tens and ones) · thousand. */
function readQuantity(
  tokens: readonly Token[],
  start: number,
): { value: Exact; end: number } | null {
  let [total, group]: [Exact, Exact | null] = [exact(0n), null];
  let at = start;
  let mayAdd = true;
  for (; at < Math.min(tokens.length, start + QUANTITY_WORDS_MAX); at++) {
    const { kind, value: digits, text } = tokens[at]!;
    const low = text.toLowerCase();
    const magnitude = magnitudes.get(low);
    const word = small.get(low) ?? tens.get(low);
    const isAnd =
      low === "and" && group !== null && isScale(tokens[at - 1]) && isSpelled(tokens[at + 1]);
    if (isAnd) continue;
    if (magnitude !== undefined) {
      const scaled: Exact | null = calculated(group ?? exact(1n), "*", exact(magnitude));
      if (magnitude === 100n) group = scaled;
      else [total, group] = [calculated(total, "+", scaled!)!, exact(0n)];
    } else if (kind === "number" && group === null) {
      group = digits;
    } else if (word !== undefined && mayAdd) {
      group = calculated(group ?? exact(0n), "+", exact(word))!;
    } else break;
    mayAdd = magnitude !== undefined || tens.has(low);
  }
  return group === null ? null : { value: calculated(total, "+", group)!, end: at };
}

const isScale = (token: Token | undefined) => magnitudes.has(token?.text.toLowerCase() ?? "");
const isSpelled = (token: Token | undefined) => {
  const low = token?.text.toLowerCase() ?? "";
  return small.has(low) || tens.has(low);
};
