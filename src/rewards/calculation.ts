/**
 * A process reward that calculates: each step of an answer is worth wrong^w · ungrounded^u, in [0, 1], with
 *   w  how many of its equations do not hold (`equations.ts`: exact fractions, no rounding but the one that is written);
 *   u  with `grounded`, how many different numbers it calculates with, or gives as its final answer, that come from
 *      nowhere: neither stated or implied by the conversation (`number-words.ts`) nor the result of an equation before.
 * A wrong result counts as known afterwards, so that a mistake is not held against the steps that follow from it.
 * A step without an equation is worth 1: it claims nothing that could be checked. So is a wrong idea that is calculated
 * right: whether to add or to multiply, the reward does not know. Cost: nothing.
 * Beginnings are judged too: of an unfinished text, an equation at its very end is not yet read.
 * Equations of solutions: Cobbe et al., arXiv:2110.14168 (calculator annotations); scores of steps: Lightman et al.,
 * arXiv:2305.20050.
 */
import { type Static, Type } from "typebox";
import { markedAnswer } from "./answers.ts";
import {
  defineReward,
  type ProcessReward,
  type ProcessRewardSession,
  type RewardPrompt,
} from "./define.ts";
import { findEquations } from "./equations.ts";
import type { Operand } from "./expressions.ts";
import { KnownNumbers } from "./number-words.ts";
import { calculated, exactText, findNumbers, plain, readNumber } from "./numbers.ts";
import { revisionOf } from "./rule.ts";
import { aggregateNames, createStepRule } from "./step-rule.ts";
import type { Unit } from "./units.ts";

const options = Type.Object({
  separator: Type.String({
    minLength: 1,
    maxLength: 16,
    default: "\n",
    description: "what ends a step; blank steps are none",
  }),
  aggregate: Type.Enum([...aggregateNames], {
    default: "product",
    description: "how the scores of the steps become one number",
  }),
  grounded: Type.Boolean({
    default: true,
    description: "whether numbers must come from the conversation or an earlier result",
  }),
  wrong: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 0.01,
    description: "factor of an equation that does not hold",
  }),
  ungrounded: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 0.5,
    description: "factor of a number from nowhere",
  }),
  tolerance: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 0,
    description: "relative error of a result that still counts as right, beyond written rounding",
  }),
});

export const calculation = defineReward({
  name: "calculation",
  description:
    "Judges each step by its arithmetic: whether its equations hold, and where its numbers come from.",
  isInline: true,
  options,
  create: (id, given, _world): ProcessReward => {
    const steps = createStepRule({ ...given, trims: false });
    return {
      id,
      revision: revisionOf("calculation", given),
      acceptsPrefixes: true,
      steps,
      open(prompt): ProcessRewardSession {
        const question = knowledgeOf(prompt);
        const scoreSteps = (text: string, isFinished: boolean) => {
          const texts = steps.split(text);
          const isOpen = (i: number) =>
            !isFinished && i === texts.length - 1 && !text.endsWith(given.separator);
          const scores = scoresOf(texts, question, { ...given, isOpen });
          return {
            steps: texts.map((step, i) => ({ text: step, score: scores[i]! })),
            reward: steps.aggregate(scores),
          };
        };
        return {
          scoreSteps: async (text) => scoreSteps(text, true),
          score: async (text, { isFinished = true } = {}) => scoreSteps(text, isFinished).reward,
          close: () => undefined,
        };
      },
    };
  },
});

/** What may be calculated with. */
interface Knowledge {
  readonly numbers: KnownNumbers;
  /** Units named so far: two of a kind imply how many one is of the other. */
  readonly units: Set<Unit>;
}

function knowledgeOf({ messages }: RewardPrompt): Knowledge {
  const [numbers, units] = [new KnownNumbers(), new Set<Unit>()];
  for (const { content } of messages) {
    numbers.addStated(content);
    numbers.addImplied(content, units);
  }
  return { numbers, units };
}

interface ScoringRule extends Static<typeof options> {
  readonly isOpen: (step: number) => boolean;
}

/** [steps] in order. */
function scoresOf(steps: readonly string[], question: Knowledge, rule: ScoringRule): number[] {
  const numbers = new KnownNumbers(question.numbers);
  const units = new Set(question.units);
  return steps.map((step, i) => {
    if (rule.grounded) numbers.addImplied(step, units);
    const { tolerance } = rule;
    const equations = findEquations(step, { tolerance, isOpen: rule.isOpen(i) });
    const strange = new Set<string>();
    for (const { operands, result } of equations) {
      for (const operand of operands) {
        if (!isKnown(operand, numbers)) strange.add(exactText(operand.value));
      }
      if (result) numbers.addResult(result);
    }
    const answer = rule.isOpen(i) ? null : answerOf(step);
    if (answer && !isKnown(answer, numbers)) strange.add(exactText(answer.value));
    const wrong = equations.filter(({ isRight }) => isRight === false).length;
    return rule.wrong ** wrong * (rule.grounded ? rule.ungrounded ** strange.size : 1);
  });
}

function isKnown({ value, isPercent }: Operand, numbers: KnownNumbers): boolean {
  if (numbers.has(value)) return true;
  const hundred = { numerator: 100n, denominator: 1n };
  return isPercent && numbers.has(calculated(value, "/", hundred)!);
}

/** The number that a step gives as the final answer, if it does. */
function answerOf(step: string): Operand | null {
  const marked = markedAnswer(step);
  if (marked === null) return null;
  const written = findNumbers(plain(marked.slice(marked.lastIndexOf("=") + 1)))[0];
  return written ? readNumber(written.text) : null;
}
