/** Solutions of a word problem: the right one, and ones with slips that every later step carries on. */
import type { Random } from "../../base/random.ts";
import { pick, pickWeighted } from "../draw.ts";
import { replyOf, unchecked } from "../pieces.ts";
import type {
  ArithmeticFacts,
  ArithmeticFlaw,
  CorpusReply,
  Mixture,
  ReplyPiece,
  Step,
} from "../types.ts";
import { compute } from "./problem.ts";

export function makeSolution(
  facts: ArithmeticFacts,
  random: Random,
  mixture: Mixture,
): CorpusReply {
  if (mixture.slips === "every-step") return solveCarelessly(facts, random, mixture.arithmetic);
  return solveWith(facts, pickWeighted(random, mixture.arithmetic), random);
}

/** A problem that allows no slip of the asked kind gets one off by one, and says so. */
export function solveWith(
  facts: ArithmeticFacts,
  flaw: ArithmeticFlaw | null,
  random: Random,
): CorpusReply {
  if (flaw === null) return writeSolution(facts, facts.steps, []);
  if (flaw === "no-answer") return replyOf(writeSteps(facts, facts.steps), [flaw]);
  const slips = possibleSlips(facts, flaw);
  if (slips.length > 0) return writeSolution(facts, pick(random, slips), [flaw]);
  return solveWith(facts, "off-by-one", random);
}

/** A slip, or none, is drawn for every step. */
function solveCarelessly(
  facts: ArithmeticFacts,
  random: Random,
  mixture: Mixture["arithmetic"],
): CorpusReply {
  for (;;) {
    const flaws: ArithmeticFlaw[] = [];
    const written: Step[] = [];
    for (const step of facts.steps) {
      const flaw = pickWeighted(random, mixture);
      const next = carriedOn(step, written);
      const slips = flaw === null || flaw === "no-answer" ? [] : slipped(next, flaw, facts);
      if (flaw !== null && slips.length > 0) flaws.push(flaw);
      written.push(slips.length > 0 ? pick(random, slips) : next);
    }
    if (written.every(isWritable)) return writeSolution(facts, written, flaws);
  }
}

function writeSolution(
  facts: ArithmeticFacts,
  steps: readonly Step[],
  flaws: readonly ArithmeticFlaw[],
): CorpusReply {
  const answer = String(steps.at(-1)!.result);
  return replyOf(
    [
      ...writeSteps(facts, steps),
      unchecked("Answer: "),
      // What follows from a slip is neither right nor wrong by itself.
      { text: answer, truth: flaws.length === 0 ? answer : null },
    ],
    flaws,
  );
}

/** A line for each step, its numbers and its operation beside what follows from the lines before. */
function writeSteps(facts: ArithmeticFacts, steps: readonly Step[]): ReplyPiece[] {
  return steps.flatMap((step, k) => {
    const want = carriedOn(facts.steps[k]!, steps);
    return [
      unchecked(`${step.label}: `),
      claim(step.left.value, want.left.value),
      unchecked(" "),
      claim(step.operation, want.operation),
      unchecked(" "),
      claim(step.right.value, want.right.value),
      unchecked(" = "),
      claim(step.result, recompute(step).result),
      unchecked(".\n"),
    ];
  });
}

function claim(text: string | number, truth: string | number): ReplyPiece {
  return { text: String(text), truth: String(truth) };
}

type Slip = Exclude<ArithmeticFlaw, "no-answer">;

/** Every solution with one slip of the kind whose answer is wrong. */
function possibleSlips(facts: ArithmeticFacts, flaw: Slip): (readonly Step[])[] {
  return facts.steps
    .flatMap((step, k) => slipped(step, flaw, facts).map((slip) => carryOn(facts.steps, k, slip)))
    .filter((steps) => steps.at(-1)!.result !== facts.answer && steps.every(isWritable));
}

/** Neither the written nor the right result is negative or has three digits. */
function isWritable(step: Step): boolean {
  return [step, recompute(step)].every(({ result }) => result >= 0 && result <= 99);
}

function slipped(step: Step, flaw: Slip, facts: ArithmeticFacts): Step[] {
  switch (flaw) {
    case "off-by-one":
      return offBy(step, [1]);
    case "off-by-ten":
      return offBy(step, [10]);
    case "wild-result":
      return offBy(step, [2, 3, 4, 5, 6, 7, 8, 9]);
    case "wrong-operation":
      return [recompute({ ...step, operation: step.operation === "+" ? "-" : "+" })];
    case "miscopied-number":
      return miscopied(step, facts).map(recompute);
  }
}

function offBy(step: Step, distances: readonly number[]): Step[] {
  return distances.flatMap((by) => [-by, by]).map((by) => ({ ...step, result: step.result + by }));
}

/** One number of the problem in this step replaced by another of its numbers or by a neighbour. */
function miscopied(step: Step, facts: ArithmeticFacts): Step[] {
  const numbers = facts.steps
    .flatMap(({ left, right }) => [left, right])
    .filter((operand) => operand.step === null)
    .map((operand) => operand.value);
  return (["left", "right"] as const).flatMap((side) => {
    const { value, step: origin } = step[side];
    if (origin !== null) return [];
    return [...numbers, value - 1, value + 1]
      .filter((other) => other !== value && other > 1)
      .map((other) => ({ ...step, [side]: { value: other, step: null } }));
  });
}

/** Puts the slip in place of step k and computes what follows from it, without another mistake. */
function carryOn(steps: readonly Step[], k: number, slip: Step): Step[] {
  const written = [...steps.slice(0, k), slip];
  for (const step of steps.slice(k + 1)) written.push(carriedOn(step, written));
  return written;
}

/** The step with the results written before it, computed without a mistake. */
function carriedOn(step: Step, written: readonly Step[]): Step {
  const renew = (operand: Step["left"]) =>
    operand.step === null ? operand : { ...operand, value: written[operand.step]!.result };
  return recompute({ ...step, left: renew(step.left), right: renew(step.right) });
}

function recompute(step: Step): Step {
  return { ...step, result: compute(step.left.value, step.operation, step.right.value) };
}
