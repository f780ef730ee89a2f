/**
 * Another reward without what it gives for length: r − slope·(L − L₀), L the length of the answer.
 * Either slope and L₀ (`typical`) are given, or both come from answers of a policy to the same prompt: slope = the least
 * squares regression of their rewards on their lengths, cov(L, r) / var(L), and L₀ = their mean length. The second takes
 * every linear effect of length away, what is deserved included; where all lengths are the same it takes nothing.
 * An answer of length L₀ keeps its reward. Unit: the reward's. An unfinished answer is short for another
 * reason, so that prefixes are not accepted.
 * Cost: the reward's; fitted, n answers of the policy to each prompt and their evaluation.
 * Fails with calibration_failed where the reward judged fewer than two of the reference answers.
 * Sources: penalty by length: Park et al., arXiv:2403.19159; bias fitted by regression after training: Huang et al.,
 * arXiv:2409.17407, whose regression is local and over a data set, where this one is a line for each prompt.
 */
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { spreadOf } from "./curves.ts";
import { defineReward, type Reward, type RewardWorld } from "./define.ts";
import { callsOf, nestedReward, type Rescore, required, rescoring } from "./nested.ts";
import { type ReferenceAnswer, referenceAnswers, referenceOptions } from "./reference-answers.ts";
import { revisionOf } from "./rule.ts";

const options = Type.Object({
  reward: nestedReward,
  unit: Type.Enum(["tokens", "characters", "words"], { default: "words" }),
  policy: Type.Optional(
    Type.String({ minLength: 1, description: "whose tokens are counted, for the unit tokens" }),
  ),
  slope: Type.Optional(Type.Number({ description: "reward that a unit more is worth" })),
  typical: Type.Optional(Type.Number({ minimum: 0, description: "length that costs nothing" })),
  reference: Type.Optional(referenceOptions),
});
type Options = Static<typeof options>;

export const lengthControlled = defineReward({
  name: "length-controlled",
  description: "Takes away what another reward gives for length alone.",
  isInline: false, // may draw answers of its own, which no budget counts
  options,
  create(id, given, world) {
    const { reference, slope, typical } = given;
    if ((reference === undefined) === (slope === undefined)) {
      throw wrong("slope", "needs either slope and typical, or a reference");
    }
    if (reference !== undefined && typical !== undefined) {
      throw wrong("typical", "the reference says it; leave one of them out");
    }
    const parts = { base: world.reward(given.reward), world };
    return reference === undefined ? withSlope(id, given, parts) : fitted(id, given, parts);
  },
});

interface Parts {
  readonly base: Reward;
  readonly world: RewardWorld;
}

function withSlope(id: string, given: Options, { base, world }: Parts): Reward {
  const slope = required(given.slope, "slope", "without a reference");
  const typical = required(given.typical, "typical", "with a slope");
  const { lengthOf, by } = measureOf(given, world);
  return {
    id,
    revision: revisionOf("length-controlled", given, base.revision, by),
    acceptsPrefixes: false,
    ...callsOf(base),
    open: (prompt, signal) =>
      rescoring(
        base.open(prompt, signal),
        base.id,
        (reward, text) => reward - slope * (lengthOf(text) - typical),
      ),
  };
}

function fitted(id: string, given: Options, { base, world }: Parts): Reward {
  const reference = required(given.reference, "reference", "without a slope");
  const speaker = world.speaker(reference.policy);
  const { lengthOf, by } = measureOf({ policy: reference.policy, ...given }, world);
  return {
    id,
    revision: revisionOf("length-controlled", given, base.revision, by, speaker.revision),
    acceptsPrefixes: false,
    ...callsOf(base),
    open(prompt, signal) {
      const session = base.open(prompt, signal);
      const answers = referenceAnswers(reference, speaker, { base: session, prompt, signal });
      const rescore: Rescore = async (reward, text, how) => {
        const { slope, center } = regression(await answers.all(how), lengthOf, id);
        return reward - slope * (lengthOf(text) - center);
      };
      const close = () => {
        answers.stop();
        session.close();
      };
      return rescoring(session, base.id, rescore, close);
    },
  };
}

/** Of rewards on lengths: cov(L, r) / var(L), 0 where var(L) is; and the mean length. */
function regression(
  answers: readonly ReferenceAnswer[],
  lengthOf: (text: string) => number,
  id: string,
): { slope: number; center: number } {
  if (answers.length < 2) {
    const problem = `it judged ${answers.length} of the reference answers, and a slope needs two`;
    throw new GatewayError("calibration_failed", { reward: id, problem });
  }
  const lengths = answers.map(({ text }) => lengthOf(text));
  const { center, scale } = spreadOf(lengths);
  if (scale === 0) return { slope: 0, center };
  const products = answers.map(({ reward }, i) => (lengths[i]! - center) * reward);
  const covariance = products.reduce((sum, product) => sum + product, 0) / answers.length;
  return { slope: covariance / scale ** 2, center };
}

/** How lengths are counted, and by whose revision. */
function measureOf({ unit, policy }: Pick<Options, "unit" | "policy">, world: RewardWorld) {
  if (unit !== "tokens") return { lengthOf: counts[unit], by: null };
  const reader = world.speaker(required(policy, "policy", "to count tokens"));
  return { lengthOf: (text: string) => reader.countTokens(text), by: reader.revision };
}

const counts = {
  characters: (text: string) => Array.from(text).length,
  words: (text: string) => text.split(/\s+/).filter(Boolean).length,
} as const;

function wrong(option: string, problem: string): GatewayError {
  return new GatewayError("invalid_request", { param: `alignment.reward.${option}`, problem });
}
