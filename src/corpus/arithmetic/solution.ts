/** Solutions of a word problem: the right one, and wrong ones with one slip that every later step carries on. */
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
  mixture: Mixture["arithmetic"],
): CorpusReply {
  return solveWith(facts, pickWeighted(random, mixture), random);
}

/** A problem that allows no slip of the asked kind gets one off by one, and says so. */
export function solveWith(
  facts: ArithmeticFacts,
  flaw: ArithmeticFlaw | null,
  random: Random,
): CorpusReply {
  if (flaw === null) return writeSolution(facts, facts.steps, []);
  if (flaw === "no-answer") return replyOf(facts.steps.flatMap(claimed(facts.steps)), [flaw]);
  const slips = possibleSlips(facts, flaw);
  if (slips.length > 0) return writeSolution(facts, pick(random, slips), [flaw]);
  return solveWith(facts, "off-by-one", random);
}

/** Up to the slip every number can be checked; what follows from it is neither right nor wrong by itself. */
function writeSolution(
  facts: ArithmeticFacts,
  steps: readonly Step[],
  flaws: readonly ArithmeticFlaw[],
): CorpusReply {
  const lines = steps.map(claimed(facts.steps));
  const slip = lines.findIndex((pieces) => pieces.some(isWrong));
  const checked = slip < 0 ? lines.length : slip + 1;
  const answer = String(steps.at(-1)!.result);
  return replyOf(
    [
      ...lines.slice(0, checked).flat(),
      ...lines.slice(checked).flatMap((pieces) => pieces.map(({ text }) => unchecked(text))),
      unchecked("Answer: "),
      { text: answer, truth: slip < 0 ? answer : null },
    ],
    flaws,
  );
}

function isWrong({ text, truth }: ReplyPiece): boolean {
  return truth !== null && text !== truth;
}

/** A step's line, with each of its numbers and its operation beside the right one. */
function claimed(right: readonly Step[]) {
  return (step: Step, k: number): ReplyPiece[] => {
    const want = right[k]!;
    const claim = (text: string | number, truth: string | number) => ({
      text: String(text),
      truth: String(truth),
    });
    return [
      unchecked(`${step.label}: `),
      claim(step.left.value, want.left.value),
      unchecked(" "),
      claim(step.operation, want.operation),
      unchecked(" "),
      claim(step.right.value, want.right.value),
      unchecked(" = "),
      claim(step.result, want.result),
      unchecked(".\n"),
    ];
  };
}

type Slip = Exclude<ArithmeticFlaw, "no-answer">;

/** Every solution with one slip of the kind whose answer is wrong and whose numbers stay in [0, 150]. */
function possibleSlips(facts: ArithmeticFacts, flaw: Slip): (readonly Step[])[] {
  const numbers = facts.steps
    .flatMap((step) => [step.left, step.right])
    .filter((operand) => operand.step === null)
    .map((operand) => operand.value);
  return facts.steps
    .flatMap((step, k) => slipped(step, flaw, numbers).map((slip) => carryOn(facts.steps, k, slip)))
    .filter((steps) => steps.at(-1)!.result !== facts.answer)
    .filter((steps) => steps.every(({ result }) => result >= 0 && result <= 150));
}

function slipped(step: Step, flaw: Slip, numbers: readonly number[]): Step[] {
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
      return miscopied(step, numbers).map(recompute);
  }
}

function offBy(step: Step, distances: readonly number[]): Step[] {
  return distances.flatMap((by) => [-by, by]).map((by) => ({ ...step, result: step.result + by }));
}

/** One number of the problem in this step replaced by another of its numbers or by a neighbour. */
function miscopied(step: Step, numbers: readonly number[]): Step[] {
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
  const renew = (operand: Step["left"]) =>
    operand.step === null ? operand : { ...operand, value: written[operand.step]!.result };
  for (const step of steps.slice(k + 1)) {
    written.push(recompute({ ...step, left: renew(step.left), right: renew(step.right) }));
  }
  return written;
}

function recompute(step: Step): Step {
  return { ...step, result: compute(step.left.value, step.operation, step.right.value) };
}
