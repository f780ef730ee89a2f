/** A word problem from a template: numbers drawn until every result stays small. */

import { assert } from "../../base/assert.ts";
import type { Random } from "../../base/random.ts";
import { between, fill, pick } from "../draw.ts";
import { men, names, women } from "../names.ts";
import type { ArithmeticFacts, Operand, Operation, Step } from "../types.ts";
import { type ProblemTemplate, templates } from "./templates.ts";

/** Results lie in [2, resultMax], so every number has at most two digits. */
const resultMax = 60;
const numberMax = 30;
const smallMax = 9;

export function makeArithmeticPrompt(random: Random): { content: string; facts: ArithmeticFacts } {
  const template = pick(random, templates);
  const parsed = template.steps.map(parseStep);
  const numbers = drawNumbers(random, template, parsed);
  const steps = evaluate(parsed, numbers);
  const name = pick(random, names);
  const isWoman = women.includes(name);
  const content = fill(template.text, {
    ...numbers,
    name,
    // Two people of one problem differ in kind, so that no pronoun is ambiguous.
    other: pick(random, isWoman ? men : women),
    items: pick(random, template.items),
    She: isWoman ? "She" : "He",
    she: isWoman ? "she" : "he",
  });
  return { content, facts: { domain: "arithmetic", steps, answer: steps.at(-1)!.result } };
}

/** a + b, a − b or a · b. */
export function compute(left: number, operation: Operation, right: number): number {
  if (operation === "+") return left + right;
  return operation === "-" ? left - right : left * right;
}

interface ParsedStep {
  readonly label: string;
  readonly left: string;
  readonly operation: Operation;
  readonly right: string;
}

function parseStep(text: string): ParsedStep {
  const match = /^([\w ]+): (#?\w) ([+*-]) (#?\w)$/.exec(text);
  assert(match, `step template '${text}' is not 'label: left operation right'`);
  const [, label, left, operation, right] = match;
  // The pattern admits no other operation.
  return { label: label!, left: left!, operation: operation as Operation, right: right! };
}

/** From 2 to `smallMax` for factors and small numbers, else to `numberMax`; all different: a miscopied one is then always visible. */
function drawNumbers(random: Random, template: ProblemTemplate, parsed: readonly ParsedStep[]) {
  const letters = [...new Set(template.text.match(/\{[a-d]\}/g))].map((slot) => slot[1]!);
  const factors = factorSymbols(parsed);
  const isSmall = (letter: string) => factors.has(letter) || template.small?.includes(letter);
  for (;;) {
    const numbers = Object.fromEntries(
      letters.map((letter) => [letter, between(random, 2, isSmall(letter) ? smallMax : numberMax)]),
    );
    const isDistinct = new Set(Object.values(numbers)).size === letters.length;
    const results = evaluate(parsed, numbers).map((step) => step.result);
    if (isDistinct && results.every((n) => n >= 2 && n <= resultMax)) return numbers;
  }
}

/** What is multiplied, and what a multiplied result is made of: products stay near the times table. */
function factorSymbols(parsed: readonly ParsedStep[]): ReadonlySet<string> {
  const operands = (step: ParsedStep) => [step.left, step.right];
  const direct = parsed.filter((step) => step.operation === "*").flatMap(operands);
  const madeOf = direct
    .filter((symbol) => symbol.startsWith("#"))
    .flatMap((symbol) => operands(parsed[Number(symbol.slice(1)) - 1]!));
  return new Set([...direct, ...madeOf]);
}

function evaluate(
  parsed: readonly ParsedStep[],
  numbers: Readonly<Record<string, number>>,
): Step[] {
  const steps: Step[] = [];
  const operand = (symbol: string): Operand => {
    if (!symbol.startsWith("#")) return { value: numbers[symbol]!, step: null };
    const step = Number(symbol.slice(1)) - 1;
    return { value: steps[step]!.result, step };
  };
  for (const { label, operation, ...symbols } of parsed) {
    const left = operand(symbols.left);
    const right = operand(symbols.right);
    steps.push({
      label,
      left,
      operation,
      right,
      result: compute(left.value, operation, right.value),
    });
  }
  return steps;
}
