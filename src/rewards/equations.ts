/**
 * The equations of a text, and whether they hold, exactly. An equation is what stands directly on both sides of a "="
 * (or "≈", "equals"): the longest expression that ends before it and the longest that begins behind it, so that a chain
 * a = b = c is two. `<<48/2=24>>` is a calculator's annotation (Cobbe et al., arXiv:2110.14168): it is read by itself,
 * holds equal to the number behind it, and the sentence is read as if it were not there.
 * Where either side is not read whole ("x + 3 = 10", "total = 3 × tax") there is no equation.
 */
import {
  type Expression,
  expressionAt,
  isCurrency,
  isOperator,
  isVariable,
  type Operand,
  type ReadingRule,
  type Token,
  tokensOf,
} from "./expressions.ts";
import { isNumberWord, isShareWord, scalesWhatFollows } from "./number-words.ts";
import { calculated, type Exact, plain } from "./numbers.ts";

export interface Equation {
  /** Null: units or words change its numbers ("5 feet + 6 inches = 66 inches"), and it does not hold without them. */
  readonly isRight: boolean | null;
  /** What is calculated with; empty for a link of a chain, whose numbers come from the link before. */
  readonly operands: readonly Operand[];
  readonly result: Operand | null;
}

export interface EquationRule {
  /** Relative error that is none. */
  readonly tolerance: number;
  /** Whether the text may go on: what stands at its very end is then not yet a result. */
  readonly isOpen: boolean;
}

const ANNOTATION = ["<<", ">>"] as const;

export function findEquations(text: string, rule: EquationRule): Equation[] {
  const { sentence, annotated } = withoutAnnotations(plain(text));
  const sides = sidesOf(withoutBullet(tokensOf(sentence)));
  return [
    ...annotated.flatMap((written) => equationsOf(written, { ...rule, isOpen: false })),
    ...equationsOf(sides, rule),
  ];
}

/** The text without its annotations, and each of them with the number behind it as its last side. */
function withoutAnnotations(text: string): { sentence: string; annotated: Side[][] } {
  const [open, close] = ANNOTATION;
  const annotated: Side[][] = [];
  let sentence = "";
  for (let at = 0; ; ) {
    const start = text.indexOf(open, at);
    const end = start < 0 ? -1 : text.indexOf(close, start);
    if (end < 0) return { sentence: sentence + text.slice(at), annotated };
    sentence += text.slice(at, start);
    at = end + close.length;
    const sides = sidesOf(tokensOf(text.slice(start + open.length, end)));
    const shown = shownResult(tokensOf(text.slice(at, at + SHOWN_CHARACTERS_MAX)));
    annotated.push(shown ? [...sides, { tokens: shown, relation: "=" }] : sides);
  }
}

const SHOWN_CHARACTERS_MAX = 64;

/** The number behind an annotation, with its percent sign. */
const shownResult = (tokens: readonly Token[]) => tokens.slice(0, tokens[1]?.text === "%" ? 2 : 1);

/** What stands between two relations, with the one before it. */
interface Side {
  readonly tokens: readonly Token[];
  readonly relation: "=" | "≈";
}

function sidesOf(tokens: readonly Token[]): Side[] {
  const sides: { tokens: Token[]; relation: Side["relation"] }[] = [{ tokens: [], relation: "=" }];
  for (const token of tokens) {
    if (token.text === "=" || token.text === "≈") sides.push({ tokens: [], relation: token.text });
    else sides.at(-1)!.tokens.push(token);
  }
  return sides;
}

/** Without a list's mark: "- 3 + 4 = 7", "1) 3 + 4 = 7". */
function withoutBullet(tokens: readonly Token[]): readonly Token[] {
  const [first, second] = tokens;
  if (first?.kind === "number" && second?.text === ")") return tokens.slice(2);
  const isBullet = first !== undefined && ["-", "*", "+", "•"].includes(first.text);
  return isBullet && second?.isApart ? tokens.slice(1) : tokens;
}

function equationsOf(sides: readonly Side[], rule: EquationRule): Equation[] {
  const equations: Equation[] = [];
  let isLink = false;
  for (const [i, { tokens, relation }] of sides.entries()) {
    if (i === 0) continue;
    const before = sides[i - 1]!.tokens;
    const isLast = i === sides.length - 1;
    const equation = equationOf(before, tokens, { ...rule, relation, isLast });
    // a side that is both the end of one equation and the beginning of the next has its numbers from there
    const isWhole = isLink && wholeExpression(before) !== null;
    if (equation) equations.push(isWhole ? { ...equation, operands: [] } : equation);
    isLink = equation !== null;
  }
  return equations;
}

interface RelationRule extends EquationRule {
  readonly relation: Side["relation"];
  readonly isLast: boolean;
}

const readings: readonly ReadingRule[] = [{ percent: "share" }, { percent: "number" }];

function equationOf(
  before: readonly Token[],
  behind: readonly Token[],
  rule: RelationRule,
): Equation | null {
  const read = readings.flatMap((reading) => {
    const left = expressionBefore(before, reading);
    const right = left && expressionBehind(behind, reading);
    return right ? [{ left, right }] : [];
  });
  const [first] = read;
  if (!first) return before.some(isVariable) ? solved(behind) : null;
  const { left, right } = first;
  const isAlone = !left.isCalculation && !right.isCalculation;
  if (isAlone && right.words.length > 0) return null; // "12 = 1 dozen"
  if (rule.isOpen && rule.isLast && reachesEnd(behind, right)) return null;
  const isRight = read.some((each) => isEqual(each.left, each.right, rule));
  const [calculation, alone] = left.isCalculation ? [left, right] : [right, left];
  return {
    isRight: isRight || !isScaled(left, right) ? isRight : null,
    operands: isAlone ? [] : calculation.operands,
    result: resultOf(alone, calculation),
  };
}

/** Of an unknown: that it is so much cannot be checked here, and is known from then on. */
function solved(behind: readonly Token[]): Equation | null {
  const right = expressionBehind(behind, readings[0]!);
  if (!right || right.isCalculation) return null;
  return { isRight: null, operands: [], result: right.operands[0]! };
}

/** What the other side says the calculation gives; where that is calculated too, its value. */
function resultOf(said: Expression, calculation: Expression): Operand | null {
  if (!said.isCalculation) return said.operands[0]!;
  return calculation.value && { value: calculation.value, isPercent: false };
}

const wholeExpression = (tokens: readonly Token[]): Expression | null => {
  const expression = expressionAt(tokens, 0, readings[0]!);
  return expression?.end === tokens.length ? expression : null;
};

/** The longest expression that ends the tokens. A number with words ("so the 3 of them = …") is a name, not a claim. */
function expressionBefore(tokens: readonly Token[], reading: ReadingRule): Expression | null {
  for (let start = 0; start < tokens.length; start++) {
    if (!mayBegin(tokens, start)) continue;
    const expression = expressionAt(tokens, start, reading);
    if (expression?.end !== tokens.length) continue;
    const isBare = !expression.isCalculation && start > 0;
    return !isBare && isClaim(expression, tokens.slice(start)) ? expression : null;
  }
  return null;
}

/** "48/2 clips" calculates; "3 clips" and "1/2 a cup" name something. */
function isClaim({ isCalculation, words, value }: Expression, tokens: readonly Token[]): boolean {
  if (words.length === 0) return true;
  const [first, slash, second, next] = tokens;
  const isFraction = first?.kind === "number" && slash?.text === "/" && next?.kind === "word";
  const isProper = isFraction && second?.kind === "number" && value !== null && isLess(value, one);
  return isCalculation && !isProper;
}

/** Whether what stands before leaves an expression that begins here as it is. */
function mayBegin(tokens: readonly Token[], at: number): boolean {
  const [earlier, before, token] = [tokens[at - 2], tokens[at - 1], tokens[at]!];
  if (token.kind === "word") return false;
  if (!before) return true;
  if (isOperator(before) || isVariable(before) || isCurrency(before)) return false;
  if (before.kind === "number" || before.text === ")" || before.text === "%") return false;
  if (scalesWhatFollows(before.text)) return false;
  if (before.text === "of" && earlier && isShareWord(earlier.text)) return false;
  if (before.text === ":" && earlier?.kind === "number" && !token.isApart) return false; // 6:00
  const isFunction = token.text === "(" && before.kind === "word" && !token.isApart;
  return !isFunction;
}

function expressionBehind(tokens: readonly Token[], reading: ReadingRule): Expression | null {
  const expression = expressionAt(tokens, 0, reading);
  const next = expression && tokens[expression.end];
  if (!next) return expression;
  const isNumber = next.kind === "number" && tokens[expression.end - 1]!.kind === "number"; // 3 000
  const isFactor = next.text === "(" && !next.isApart;
  return isNumber || isFactor || isOperator(next) || isVariable(next) ? null : expression;
}

/** Whether more of the text could be more of the expression. */
const reachesEnd = (tokens: readonly Token[], { end }: Expression): boolean =>
  tokens.slice(end).every(({ text }) => text === "." || text === ",");

function isEqual(left: Expression, right: Expression, { relation, tolerance }: RelationRule) {
  if (!left.value || !right.value) return false;
  const distance = absolute(calculated(left.value, "-", right.value)!);
  if (distance.numerator === 0n) return true;
  if (tolerance > 0 && isWithin(distance, left.value, tolerance)) return true;
  const unit = roundedTo(left.value, right, relation);
  return unit !== null && isLess(distance, unit);
}

/**
 * What a result that is written rounded, or cut off, may be away at most: one of its last decimal where the exact value
 * has more of them ("10/3 = 3.33"), and behind "≈" one of its last digit that is not 0.
 */
function roundedTo(
  exact: Exact,
  { value, places, isCalculation }: Expression,
  relation: Side["relation"],
): Exact | null {
  const scale = 10n ** BigInt(places);
  if (isCalculation) return null;
  if (places > 0) {
    const fits = (exact.numerator * scale) % exact.denominator === 0n;
    return fits && relation === "=" ? null : { numerator: 1n, denominator: scale };
  }
  if (relation === "=") return null;
  const zeros = /0*$/.exec(String(absolute(value!).numerator))![0].length;
  return { numerator: 10n ** BigInt(zeros), denominator: 1n };
}

const one: Exact = { numerator: 1n, denominator: 1n };

const absolute = ({ numerator, denominator }: Exact): Exact => ({
  numerator: numerator < 0n ? -numerator : numerator,
  denominator,
});

const isLess = (a: Exact, b: Exact) => a.numerator * b.denominator < b.numerator * a.denominator;

/** distance ≤ tolerance · |value|; the tolerance is exact to 12 decimals. */
function isWithin(distance: Exact, value: Exact, tolerance: number): boolean {
  const share = { numerator: BigInt(Math.round(tolerance * 1e12)), denominator: 10n ** 12n };
  return !isLess(calculated(absolute(value), "*", share)!, distance);
}

/** Whether units of one kind are mixed, or a word such as "dozen" stands behind a number. */
function isScaled(left: Expression, right: Expression): boolean {
  if ([...left.words, ...right.words].some(isNumberWord)) return true;
  const units = [...left.units, ...right.units];
  return units.some((a) => units.some((b) => a !== b && kindOf(a) === kindOf(b)));
}

const kindOf = ({ dimension }: { readonly dimension: string }) =>
  dimension === "cent" ? "dollar" : dimension;
