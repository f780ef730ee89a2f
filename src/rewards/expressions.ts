/**
 * Arithmetic as answers write it inside of sentences, read into exact values:
 *   sum     = product { ("+" | "-") product }
 *   product = operand { ("*" | "×" | "x" | "/" | "÷" | "times" | "of" behind a share) operand | "(" sum ")" right behind }
 *   operand = "-" operand | "(" sum ")" power words | number power words | number number "/" number words (mixed: 2 1/2)
 *   power   = [ "^" whole | "²" | "³" ]
 *   words   = at most 4 of: a word, "/word", "-word", a currency sign; they are units and change no value
 * A letter that is no unit is a variable: what holds one is no expression.
 */
import { calculated, DECIMAL, type Exact, fraction, negated, readNumber } from "./numbers.ts";
import { type Unit, unitNamed } from "./units.ts";

export interface Token {
  readonly kind: "number" | "word" | "sign";
  readonly text: string;
  /** Whether white space stands before it. */
  readonly isApart: boolean;
  /** Of a number; 0 for others. */
  readonly value: Exact;
  /** Decimals as written. */
  readonly places: number;
  /** Where it ends in the text. */
  readonly end: number;
}

/** A number of an expression; of "20%" 20. */
export interface Operand {
  readonly value: Exact;
  readonly isPercent: boolean;
}

export interface Expression {
  /** Null: a division by zero, or a number beyond `BITS_MAX`. */
  readonly value: Exact | null;
  readonly operands: readonly Operand[];
  /** Whether anything is calculated; else it is a number alone. */
  readonly isCalculation: boolean;
  readonly words: readonly string[];
  readonly units: readonly Unit[];
  /** Decimals of its last number; two more where a percentage is read as a share. */
  readonly places: number;
  /** Index of the token behind it. */
  readonly end: number;
}

const BITS_MAX = 512;
const OPERANDS_MAX = 256;
const POWER_MAX = 64n;
const WORDS_MAX = 4;
const DEPTH_MAX = 32;
const zero: Exact = { numerator: 0n, denominator: 1n };

const tokenPattern = new RegExp(
  `(\\s*)(?:(${DECIMAL})|(\\\\?\\p{L}+(?:['’]\\p{L}+)*)|(\\*\\*|__|<=|>=|!=|[^]))`,
  "gu",
);
const ignored = new Set(["**", "__", "`", "\\", "\\boxed", "~"]);
const spelled: Readonly<Record<string, string>> = {
  "×": "*",
  "·": "*",
  "⋅": "*",
  "∙": "*",
  "∗": "*",
  "÷": "/",
  "∕": "/",
  "\\div": "/",
  "≈": "≈",
  "≅": "≈",
  "\\approx": "≈",
  equals: "=",
  "{": "(",
  "}": ")",
};

/** @param text as `plain` gives it. Marks of emphasis and of mathematics are left out. */
export function tokensOf(text: string): Token[] {
  return [...text.matchAll(tokenPattern)].flatMap((match): Token[] => {
    const [, gap, digits, word, sign] = match;
    const end = match.index + match[0].length;
    const written = digits ?? word ?? sign!;
    if (ignored.has(written) || written.trim() === "") return [];
    const isApart = gap !== "";
    if (digits !== undefined) {
      const value = readNumber(digits)?.value;
      if (!value) return [{ kind: "sign", text: "?", isApart, value: zero, places: 0, end }];
      const places = digits.split(".")[1]?.length ?? 0;
      return [{ kind: "number", text: digits, isApart, value, places, end }];
    }
    const text = spelled[written] ?? written;
    const kind = word !== undefined && text === word ? "word" : "sign";
    return [{ kind, text, isApart, value: zero, places: 0, end }];
  });
}

export interface ReadingRule {
  /** What "20%" is: a share (0.2), or its number (20). */
  readonly percent: "share" | "number";
}

/** The longest expression that begins at a token; null where none does, or where it holds a variable. */
export function expressionAt(
  tokens: readonly Token[],
  start: number,
  rule: ReadingRule,
): Expression | null {
  return new Reader(tokens, rule).sum(start, 0);
}

const operators: Readonly<Record<string, "+" | "-" | "*" | "/">> = {
  "+": "+",
  "-": "-",
  "*": "*",
  "/": "/",
  x: "*",
  X: "*",
  times: "*",
  plus: "+",
  minus: "-",
};

const superscripts: Readonly<Record<string, bigint>> = { "²": 2n, "³": 3n };
const currencies = new Set(["$", "€", "£", "¥", "¢"]);
export const isCurrency = ({ text }: Token): boolean => currencies.has(text);
const lettersNoVariable = new Set(["a", "I", "m", "g", "s", "h", "l", "L"]);

/** Whether a sign calculates, so that an expression beside it is only part of one. */
export const isOperator = (token: Token | undefined): boolean =>
  token?.kind === "sign" && (["^", "²", "³"].includes(token.text) || token.text in operators);

/** A single letter, unless it stands apart as a word or a unit may. */
export const isVariable = ({ kind, text, isApart }: Token): boolean =>
  kind === "word" && text.length === 1 && !(isApart && lettersNoVariable.has(text));

class Reader {
  readonly #tokens: readonly Token[];
  readonly #rule: ReadingRule;

  constructor(tokens: readonly Token[], rule: ReadingRule) {
    this.#tokens = tokens;
    this.#rule = rule;
  }

  sum(start: number, depth: number): Expression | null {
    let left = depth > DEPTH_MAX ? null : this.#product(start, depth);
    while (left) {
      const operator = this.#operatorAt(left, ["+", "-"]);
      if (!operator || !this.#isOperandAt(operator.end)) break;
      const right = this.#product(operator.end, depth);
      left = right && joined(left, operator.sign, right);
    }
    return left;
  }

  #product(start: number, depth: number): Expression | null {
    let left = this.#operand(start, depth);
    while (left) {
      const operator = this.#operatorAt(left, ["*", "/"]);
      const isBehind = this.#isTextAt(left.end, "(") && !this.#tokens[left.end]!.isApart;
      if (!isBehind && !(operator && this.#isOperandAt(operator.end))) break;
      const right = this.#operand(isBehind ? left.end : operator!.end, depth);
      left = right && joined(left, isBehind ? "*" : operator!.sign, right);
    }
    return left;
  }

  #operand(start: number, depth: number): Expression | null {
    const at = this.#isCurrencyAt(start) ? start + 1 : start;
    const token = this.#tokens[at];
    if (!token) return null;
    if (token.text === "-" && this.#tokens[at + 1]?.isApart === false && depth <= DEPTH_MAX) {
      const inner = this.#operand(at + 1, depth + 1);
      return inner && { ...inner, value: inner.value && negated(inner.value) };
    }
    if (token.text === "(") {
      const inner = this.sum(at + 1, depth + 1);
      if (!inner || !this.#isTextAt(inner.end, ")")) return null;
      return this.#withWords(this.#raised({ ...inner, end: inner.end + 1 }), start);
    }
    if (token.kind !== "number") return null;
    return this.#withWords(this.#mixed(at) ?? this.#raised(this.#percent(at)), start);
  }

  #raised(base: Expression): Expression {
    const sign = this.#tokens[base.end]?.text ?? "";
    const raised = this.#tokens[base.end + 1];
    const isWritten = sign === "^" && raised?.kind === "number";
    const exponent = isWritten ? whole(raised.value) : (superscripts[sign] ?? null);
    if (exponent === null) return base;
    const end = base.end + (isWritten ? 2 : 1);
    return { ...base, value: power(base.value, exponent), isCalculation: true, end };
  }

  /** "2 1/2" */
  #mixed(at: number): Expression | null {
    const [units, above, slash, below] = this.#tokens.slice(at, at + 4);
    if (above?.kind !== "number" || slash?.text !== "/" || below?.kind !== "number") return null;
    const isMixed =
      [units!, above, below].every(({ value }) => value.denominator === 1n) &&
      above.value.numerator < below.value.numerator &&
      !slash.isApart;
    if (!isMixed) return null;
    const part = calculated(above.value, "/", below.value);
    const value = part && calculated(units!.value, "+", part);
    return value && single(value, { isPercent: false, places: 0, end: at + 4 });
  }

  #percent(at: number): Expression {
    const { value, places } = this.#tokens[at]!;
    const next = this.#tokens[at + 1]?.text ?? "";
    const isPercent = next === "%" || next === "percent";
    const alone = single(value, { isPercent, places, end: at + (isPercent ? 2 : 1) });
    if (!isPercent || this.#rule.percent === "number") return alone;
    const share = fraction(value.numerator, value.denominator * 100n);
    return { ...alone, value: share, places: places + 2 };
  }

  /** With the units before and behind it. Null for a variable. */
  #withWords(expression: Expression, start: number): Expression | null {
    const words: string[] = this.#isCurrencyAt(start) ? [this.#tokens[start]!.text] : [];
    let { end } = expression;
    for (let count = 0; count < WORDS_MAX; count++) {
      const token = this.#tokens[end];
      if (!token || this.#calculates(end, expression)) break;
      const next = this.#tokens[end + 1];
      const isJoined =
        (token.text === "/" || (token.text === "-" && !token.isApart)) &&
        next?.kind === "word" &&
        (token.text === "/" || !next.isApart);
      if (!isJoined && token.kind !== "word" && !isCurrency(token)) break;
      const word = isJoined ? next : token;
      if (isVariable(word)) return null;
      words.push(word.text);
      end += isJoined ? 2 : 1;
    }
    const units = words.flatMap((word) => unitNamed(word) ?? []);
    const isNew = words.length > 0;
    return isNew
      ? {
          ...expression,
          end,
          words: [...expression.words, ...words],
          units: [...expression.units, ...units],
        }
      : expression;
  }

  /** Whether a word is an operator here: "3 times 4", but not "3 times". */
  #calculates(at: number, left: Expression): boolean {
    const operator = this.#operatorAt({ ...left, end: at }, ["+", "-", "*", "/"]);
    return operator !== null && this.#isOperandAt(operator.end);
  }

  #operatorAt({ end, operands, value }: Expression, among: readonly string[]) {
    const token = this.#tokens[end];
    if (!token) return null;
    const { text } = token;
    if ((text === "divided" || text === "multiplied") && this.#isTextAt(end + 1, "by")) {
      const sign = text === "divided" ? ("/" as const) : ("*" as const);
      return among.includes(sign) ? { sign, end: end + 2 } : null;
    }
    const isBare = this.#tokens[end - 1]?.kind !== "word" || this.#isTextAt(end - 1, "percent");
    const isShare =
      operands.at(-1)?.isPercent === true || (value !== null && value.denominator > 1n);
    if ((text === "x" || text === "X") && this.#isTextAt(end + 1, "-")) return null; // 2x - 5
    const sign = text === "of" && isBare && isShare ? "*" : operators[text];
    return sign && among.includes(sign) ? { sign, end: end + 1 } : null;
  }

  #isOperandAt(at: number): boolean {
    const begins = (token: Token | undefined) => token?.text === "(" || token?.kind === "number";
    const [token, next, third] = this.#tokens.slice(at, at + 3);
    if (!token || begins(token)) return begins(token);
    if (token.text === "-") {
      return next?.isApart === false && (begins(next) || (isCurrency(next) && begins(third)));
    }
    return isCurrency(token) && begins(next);
  }

  #isCurrencyAt = (at: number): boolean => currencies.has(this.#tokens[at]?.text ?? "");

  #isTextAt = (at: number, text: string): boolean => this.#tokens[at]?.text === text;
}

function single(
  value: Exact,
  { isPercent, places, end }: { isPercent: boolean; places: number; end: number },
): Expression {
  const operands = [{ value, isPercent }];
  return { value, operands, isCalculation: false, words: [], units: [], places, end };
}

function joined(
  left: Expression,
  sign: "+" | "-" | "*" | "/",
  right: Expression,
): Expression | null {
  if (left.operands.length >= OPERANDS_MAX) return null;
  const value = left.value && right.value && calculated(left.value, sign, right.value);
  return {
    value: value && bounded(value),
    operands: [...left.operands, ...right.operands],
    isCalculation: true,
    words: [...left.words, ...right.words],
    units: [...left.units, ...right.units],
    places: right.places,
    end: right.end,
  };
}

const whole = ({ numerator, denominator }: Exact): bigint | null =>
  denominator === 1n && numerator >= 0n && numerator <= POWER_MAX ? numerator : null;

function power(base: Exact | null, exponent: bigint): Exact | null {
  let result: Exact | null = { numerator: 1n, denominator: 1n };
  for (let i = 0n; i < exponent; i++) {
    const next: Exact | null = result && base && calculated(result, "*", base);
    result = next && bounded(next);
  }
  return result;
}

function bounded(value: Exact): Exact | null {
  const isShort = (part: bigint) => BigInt.asIntN(BITS_MAX, part) === part;
  return isShort(value.numerator) && isShort(value.denominator) ? value : null;
}
