/**
 * Another reward on a scale that can be compared. Never changes which of two answers is better, but may make them equal.
 *
 * For the model (all prompts alike):
 * - linear: (r − offset) / scale; from a file the mean and the standard deviation (the population's) of its scores.
 * - logistic: σ(slope·r + intercept), a probability; from a file by Platt's scaling of values 0 and 1.
 * - isotonic: a rising curve, straight between knots and level beyond them; from a file by isotonic regression.
 *   Answers on one level of the curve are equal.
 * For each prompt, against answers of a policy to that prompt (`reference`), drawn once, since a reward judges one answer
 * at a time and knows nothing of the other candidates; it therefore depends on none of them, nor on how many there are:
 * - z-score: (r − mean) / standard deviation (the population's) of their rewards. Keeps the order of all answers.
 * - rank: the share of them that are worse, with half of the equal ones: the probability of beating the policy,
 *   in [0, 1] by steps of 1/2n. All answers better than every one of them are equal: to compare prompts and to set
 *   thresholds, not to choose among good candidates.
 *
 * An unfinished answer has no rank among finished ones: those two accept no prefixes.
 * Cost: the reward's; for a prompt n answers of the policy and their evaluation.
 * Fails with calibration_failed where the reference has no judgement, or no spread.
 * Sources: rank: Balashankar et al. (InfAlign), arXiv:2412.19792, §4. Logistic: Platt 1999. Rewards of the
 * Bradley-Terry model have an arbitrary offset: Xiao and Zhu, "Natural Language Processing", eq. 10.35.
 */
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import {
  fitIsotonic,
  fitLogistic,
  isRising,
  type Outcome,
  piecewiseLinear,
  spreadOf,
} from "./curves.ts";
import { defineReward, type Reward, type RewardWorld } from "./define.ts";
import { callsOf, nestedReward, type Rescore, required, rescoring } from "./nested.ts";
import { readOutcomes } from "./outcomes-file.ts";
import { referenceAnswers, referenceOptions } from "./reference-answers.ts";
import { revisionOf } from "./rule.ts";

const options = Type.Object({
  reward: nestedReward,
  method: Type.Enum(["linear", "logistic", "isotonic", "z-score", "rank"]),
  offset: Type.Optional(Type.Number({ description: "linear" })),
  scale: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: "linear" })),
  slope: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: "logistic" })),
  intercept: Type.Optional(Type.Number({ description: "logistic" })),
  knots: Type.Optional(
    Type.Array(Type.Tuple([Type.Number(), Type.Number()]), {
      minItems: 1,
      description: "isotonic: [raw, calibrated], both rising",
    }),
  ),
  file: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'linear, logistic, isotonic: JSON lines {"score", "value"} to fit them to',
    }),
  ),
  reference: Type.Optional(referenceOptions),
});
type Options = Static<typeof options>;
type Curve = (reward: number) => number;

/** Which options each method reads. */
const readBy: Readonly<Record<Options["method"], readonly string[]>> = {
  linear: ["offset", "scale", "file"],
  logistic: ["slope", "intercept", "file"],
  isotonic: ["knots", "file"],
  "z-score": ["reference"],
  rank: ["reference"],
};

export const calibrated = defineReward({
  name: "calibrated",
  description: "Puts another reward on a scale that can be compared between models or prompts.",
  isInline: false, // reads a file, or draws answers of its own, which no budget counts
  options,
  create(id, given, world) {
    refuseUnread(given);
    const base = world.reward(given.reward);
    return given.method === "z-score" || given.method === "rank"
      ? againstReference(id, given, { base, world })
      : onCurve(id, given, base);
  },
});

/** An option that would have no effect was meant for something else. */
function refuseUnread({ method, ...given }: Options): void {
  const known = ["reward", ...readBy[method]];
  const stray = Object.keys(given).find((name) => !known.includes(name));
  if (stray === undefined) return;
  throw wrong(stray, `the method ${method} does not read it, but ${known.join(", ")}`);
}

function onCurve(id: string, given: Options, base: Reward): Reward {
  const { curve, fitted } = curveOf(given);
  return {
    id,
    revision: revisionOf("calibrated", given, base.revision, fitted),
    acceptsPrefixes: base.acceptsPrefixes,
    range: [curve(base.range?.[0] ?? -Infinity), curve(base.range?.[1] ?? Infinity)], // curves never fall
    ...callsOf(base),
    open: (prompt, signal) => rescoring(base.open(prompt, signal), base.id, curve),
  };
}

/** The curve, and the numbers that it was fitted by: another file is another reward. */
function curveOf(given: Options): { curve: Curve; fitted: unknown } {
  const outcomes = given.file === undefined ? null : readOutcomes(given.file);
  if (given.method === "linear") {
    const { offset, scale } = outcomes ? fittedLinear(outcomes) : linearOf(given);
    return { curve: (reward) => (reward - offset) / scale, fitted: [offset, scale] };
  }
  if (given.method === "logistic") {
    const { slope, intercept } = outcomes ? fittedLogistic(outcomes) : logisticOf(given);
    const curve = (reward: number) => 1 / (1 + Math.exp(-(slope * reward + intercept)));
    return { curve, fitted: [slope, intercept] };
  }
  const knots = outcomes ? fitIsotonic(outcomes) : required(given.knots, "knots", orFile);
  if (!isRising(knots)) {
    throw wrong("knots", "raw scores must rise from knot to knot, and calibrated ones never fall");
  }
  return { curve: piecewiseLinear(knots), fitted: knots };
}

const orFile = "unless a file is given";

const linearOf = ({ offset = 0, scale }: Options) => ({
  offset,
  scale: required(scale, "scale", orFile),
});

const logisticOf = ({ slope, intercept = 0 }: Options) => ({
  slope: required(slope, "slope", orFile),
  intercept,
});

function fittedLinear(outcomes: readonly Outcome[]) {
  const { center, scale } = spreadOf(outcomes.map(({ score }) => score));
  if (scale > 0) return { offset: center, scale };
  throw wrong("file", "all its scores are the same; a scale needs two");
}

function fittedLogistic(outcomes: readonly Outcome[]) {
  const isBinary = outcomes.every(({ value }) => value === 0 || value === 1);
  const hasBoth = new Set(outcomes.map(({ value }) => value)).size === 2;
  const hasSpread = new Set(outcomes.map(({ score }) => score)).size > 1;
  if (!isBinary || !hasBoth || !hasSpread) {
    throw wrong("file", "a logistic curve is fitted to values 0 and 1, both, of different scores");
  }
  const fitted = fitLogistic(outcomes);
  if (fitted.slope > 0) return fitted;
  throw wrong(
    "file",
    "its higher scores have the lower values, and a calibration does not turn a reward round",
  );
}

function againstReference(
  id: string,
  given: Options,
  { base, world }: { base: Reward; world: RewardWorld },
): Reward {
  const reference = required(given.reference, "reference", `by the method ${given.method}`);
  const speaker = world.speaker(reference.policy);
  return {
    id,
    revision: revisionOf("calibrated", given, base.revision, speaker.revision),
    acceptsPrefixes: false,
    ...(given.method === "rank" && { range: [0, 1] as const }),
    ...callsOf(base),
    open(prompt, signal) {
      const session = base.open(prompt, signal);
      const answers = referenceAnswers(reference, speaker, { base: session, prompt, signal });
      const rescore: Rescore = async (reward, _, how) => {
        const rewards = (await answers.all(how)).map((answer) => answer.reward);
        return given.method === "rank"
          ? rankAmong(rewards, reward, id)
          : zScore(rewards, reward, id);
      };
      const close = () => {
        answers.stop();
        session.close();
      };
      return rescoring(session, base.id, rescore, close);
    },
  };
}

/** Share of worse ones, and half of the equal ones. */
function rankAmong(rewards: readonly number[], reward: number, id: string): number {
  if (rewards.length === 0) throw failed(id, "the reward judged none of the reference answers");
  if (Number.isNaN(reward)) return reward;
  const worse = rewards.filter((other) => other < reward).length;
  const equal = rewards.filter((other) => other === reward).length;
  return (worse + equal / 2) / rewards.length;
}

function zScore(rewards: readonly number[], reward: number, id: string): number {
  if (rewards.length === 0) throw failed(id, "the reward judged none of the reference answers");
  const { center, scale } = spreadOf(rewards);
  if (scale > 0) return (reward - center) / scale;
  throw failed(id, `all ${rewards.length} reference answers have the reward ${center}`);
}

const failed = (reward: string, problem: string) =>
  new GatewayError("calibration_failed", { reward, problem });

function wrong(option: string, problem: string): GatewayError {
  return new GatewayError("invalid_request", { param: `alignment.reward.${option}`, problem });
}
