/**
 * Whether the final answer of a text is the expected number: |answer − expected| ≤ max(absolute, relative·|expected|),
 * in the expected number's unit. `matched`, else `unmatched`; `missing` where the text has no number. Cost: nothing.
 *
 * The number is the first after the last "=" of a marked answer ("\boxed{x = 5 km}", "Answer: 5 km, since …"), and the
 * last of a text without one. With an expected unit, a number in another unit of its dimension is converted, one in
 * a unit of another dimension is wrong, and one without a unit that is known is read in the expected one unless
 * `requires_unit`. Without an expected unit, units do not count. 50% is 0.5 only with `percent_is_share`.
 */
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { finalAnswer, markedAnswer, withoutThoughts } from "./answers.ts";
import { defineReward } from "./define.ts";
import { findNumbers, plain, readNumber, toDouble } from "./numbers.ts";
import { ruleReward } from "./rule.ts";
import { converted, type Unit, unitAtStart } from "./units.ts";
import { answerOptions, rangeOf } from "./verdict.ts";

const options = Type.Object({
  expected: Type.Union([Type.Number(), Type.String({ minLength: 1, maxLength: 200 })], {
    description:
      'a number, or one as text, with a unit if it has one: "5 km", "1/3", "1e-3", "$1,200"',
  }),
  relative: Type.Number({
    minimum: 0,
    default: 1e-9,
    description: "tolerance, of the expected number",
  }),
  absolute: Type.Number({ minimum: 0, default: 0, description: "tolerance, in its unit" }),
  requires_unit: Type.Boolean({
    default: false,
    description: "whether a number without unit is wrong",
  }),
  percent_is_share: Type.Boolean({ default: false, description: "whether 50% is 0.5" }),
  ...answerOptions,
});

const REST_CHARACTERS_MAX = 200;

interface Quantity {
  readonly value: number;
  readonly unit: Unit | null;
}

export const numericMatch = defineReward({
  name: "numeric-match",
  description:
    "Whether the final answer is the expected number, within a tolerance and in any unit of its kind.",
  isInline: true,
  options,
  create(id, given, _world) {
    const { matched, unmatched, missing = unmatched } = given;
    const expected = readExpected(given.expected);
    const range = rangeOf(matched, unmatched, missing);
    const rule = { kind: "numeric-match", options: given, acceptsPrefixes: false, range };
    return ruleReward(id, rule, (text) => {
      const answer = answerOf(text, given);
      if (answer === null) return missing;
      return isNear(answer, expected, given) ? matched : unmatched;
    });
  },
});

function readExpected(expected: number | string): Quantity {
  if (typeof expected === "number") return { value: expected, unit: null };
  const found = quantities(expected);
  const [only] = found;
  const refuse = (problem: string) =>
    new GatewayError("invalid_request", { param: "alignment.reward.expected", problem });
  if (!only || found.length > 1) throw refuse(`'${expected}' is not one number`);
  if (only.unit === null && /\p{L}/u.test(only.rest)) {
    throw refuse(
      `'${only.rest.trim()}' is no unit that is known; leave it out, or see docs/rewards.md`,
    );
  }
  return only;
}

function answerOf(text: string, { from, marker }: Static<typeof options>): Quantity | null {
  const spoken = withoutThoughts(text);
  const marked =
    from === "auto"
      ? markedAnswer(spoken)
      : isMarked(from)
        ? finalAnswer(text, { from, marker })
        : null;
  if (marked !== null) return quantities(marked.slice(marked.lastIndexOf("=") + 1))[0] ?? null;
  if (isMarked(from)) return null;
  const source =
    from === "auto" || from === "last-number" ? spoken : finalAnswer(text, { from, marker });
  return quantities(source ?? "").at(-1) ?? null;
}

const isMarked = (from: string) => ["boxed", "hashes", "tag", "marker"].includes(from);

/** @returns each number with its unit, and what follows the number. */
function quantities(source: string): readonly (Quantity & { readonly rest: string })[] {
  const text = plain(source);
  return findNumbers(text).flatMap(({ text: written, end }) => {
    const number = readNumber(written);
    if (!number) return [];
    const rest = text.slice(end, end + REST_CHARACTERS_MAX);
    const sign = /[$€£¥]/.exec(written)?.[0] ?? (number.isPercent ? "%" : null);
    const unit = unitAtStart(sign ?? rest.replace(/^[\s~-]+/u, ""));
    return [{ value: toDouble(number.value), unit, rest }];
  });
}

function isNear(answer: Quantity, expected: Quantity, given: Static<typeof options>): boolean {
  const value = inUnitOf(answer, expected, given);
  if (value === null) return false;
  const tolerance = Math.max(given.absolute, given.relative * Math.abs(expected.value));
  return Math.abs(value - expected.value) <= tolerance;
}

const isPercent = (unit: Unit | null) => unit?.dimension === "percent";

/** The answer's value in the expected unit; null where it has none. */
function inUnitOf(
  { value, unit }: Quantity,
  { unit: wanted }: Quantity,
  { requires_unit: requiresUnit, percent_is_share: percentIsShare }: Static<typeof options>,
): number | null {
  if (
    percentIsShare &&
    isPercent(unit) !== isPercent(wanted) &&
    (unit === null || wanted === null)
  ) {
    return isPercent(unit) ? value / 100 : value * 100;
  }
  if (wanted === null) return value;
  if (unit === null) return requiresUnit ? null : value;
  return unit.dimension === wanted.dimension ? converted(value, unit, wanted) : null;
}
