import { Type } from "typebox";
import type { AdvantageEstimator } from "../../advantages.ts";
import { definePolicyLoss } from "../define.ts";
import { policyLoss, policyOptions } from "./surrogate.ts";

interface ScoreFunction {
  readonly name: string;
  readonly estimator: AdvantageEstimator;
  readonly klWeight?: number;
}

/** The score-function loss under a name: the names differ in what is taken off the reward. */
const scoreFunctionLoss = ({ name, estimator, klWeight }: ScoreFunction) =>
  definePolicyLoss({
    name,
    estimator,
    options: Type.Object(policyOptions("answer-sum", "k2", klWeight)),
    build(g, terms, options) {
      return policyLoss(g, terms, g.mul(terms.advantages, terms.logps), options);
    },
  });

/**
 * REINFORCE: loss = −mean over answers of Σₜ Aₜ·log π(yₜ | x, y<t); A = r − b, or with rewards of single
 * tokens their sum from t on. Its gradient is that of the expected reward when π itself drew the answers.
 * Source: Williams 1992; Xiao & Zhu, 10.25 and 10.43.
 * Errata: what is left out after the baseline are the past rewards, not the later ones (their remark to
 * 10.26); Li et al.'s protocol 5 multiplies a mean loss with a sum of scores, which cancels.
 */
export const reinforce = scoreFunctionLoss({
  name: "reinforce",
  estimator: "mean-baseline",
});

/**
 * REINFORCE leave-one-out: the baseline of an answer is the mean reward of the other answers to its prompt.
 * Source: Kool et al. 2019; Ahmadian et al., arXiv:2402.14740, section 3.2.
 */
export const rloo = scoreFunctionLoss({
  name: "rloo",
  estimator: "leave-one-out",
});

/**
 * ReMax: the baseline is the reward of the greedy answer to the prompt.
 * Source: Li et al., arXiv:2310.10505, algorithm 1.
 */
export const remax = scoreFunctionLoss({
  name: "remax",
  estimator: "greedy-baseline",
});

/**
 * Nash-MD: advantage = P(y ≻ y′) − ½ by a preference model, y drawn by π and y′ by the geometric mixture
 * π^(1−η)·π_ref^η; the penalty keeps π near the reference, so that the last policy is the equilibrium.
 * Source: Munos et al., arXiv:2312.00886, section 7. Defaults: TRL's NashMDConfig, β 0.1 (its mixture
 * coefficient, 0.5, belongs to the drawing).
 */
export const nashMd = scoreFunctionLoss({
  name: "nash-md",
  estimator: "preference",
  klWeight: 0.1,
});
