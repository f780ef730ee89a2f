import { Type } from "typebox";
import type { AdvantageEstimator } from "../../advantages.ts";
import { definePolicyLoss } from "../define.ts";
import {
  type Aggregation,
  clipOptions,
  clippedShare,
  clippedSurrogate,
  importanceRatio,
  policyLoss,
  policyOptions,
} from "./surrogate.ts";

interface Clipped {
  readonly name: string;
  readonly estimator: AdvantageEstimator;
  readonly aggregation: Aggregation;
  /** ε below and above. */
  readonly clip: readonly [number, number];
}

/** The clipped surrogate under a name: the names differ in advantages, clips and what is averaged. */
const clippedLoss = ({ name, estimator, aggregation, clip: [low, high] }: Clipped) =>
  definePolicyLoss({
    name,
    estimator,
    options: Type.Object({ ...policyOptions(aggregation), ...clipOptions(low, high) }),
    build(g, terms, options) {
      const ratio = importanceRatio(g, terms);
      const gain = clippedSurrogate(g, ratio, terms.advantages, options);
      const { loss, metrics } = policyLoss(g, terms, gain, options);
      return { loss, metrics: { ...metrics, clipped: clippedShare(g, terms, ratio, options) } };
    },
  });

/**
 * Group Relative Policy Optimization: the clipped surrogate of PPO over several answers a prompt, whose
 * advantages are their rewards normalised within the group; mean over answers of the mean over tokens.
 * Source: Shao et al., arXiv:2402.03300, eq. 3. Defaults: TRL's GRPOConfig (ε 0.2, β 0), but for its
 * aggregation, which is DAPO's there.
 * Erratum: Li et al.'s protocol 8 minimises what is to be maximised, and has no clip.
 */
export const grpo = clippedLoss({
  name: "grpo",
  estimator: "group-normalised",
  aggregation: "answer-mean",
  clip: [0.2, 0.2],
});

/**
 * Dr. GRPO: without the two biases of GRPO, towards long wrong answers (division by the length) and
 * prompts of little spread (division by the deviation).
 * Source: Liu et al., arXiv:2503.20783, section 3.2.
 */
export const drGrpo = clippedLoss({
  name: "dr-grpo",
  estimator: "group-centred",
  aggregation: "fixed-length",
  clip: [0.2, 0.2],
});

/**
 * DAPO: a higher upper clip, so that unlikely tokens can rise, and a mean over tokens, so that those of
 * long answers count as much. Its other parts are data: see `isMixed` and `overlongPenalty`.
 * Source: Yu et al., arXiv:2503.14476, eq. 8; ε 0.2 and 0.28.
 */
export const dapo = clippedLoss({
  name: "dapo",
  estimator: "group-normalised",
  aggregation: "token-mean",
  clip: [0.2, 0.28],
});

/**
 * RAFT++: the clipped importance ratio over each prompt's best answers alone, whose advantage is 1.
 * Source: Xiong et al., arXiv:2504.11343, section 3.
 */
export const raftPlusPlus = clippedLoss({
  name: "raft++",
  estimator: "best",
  aggregation: "answer-mean",
  clip: [0.2, 0.2],
});

/**
 * Reinforce-Rej: the reward itself is the advantage, and prompts whose answers are all right or all wrong
 * are left out. Source: Xiong et al., arXiv:2504.11343, section 4.
 */
export const reinforceRej = clippedLoss({
  name: "reinforce-rej",
  estimator: "mixed-reward",
  aggregation: "answer-mean",
  clip: [0.2, 0.2],
});
