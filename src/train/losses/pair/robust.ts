import { Type } from "typebox";
import { implicitRewards, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption, labelSmoothingOption } from "../options.ts";

/**
 * Robust DPO: loss = [−(1 − ε)·log σ(m) + ε·log σ(−m)] / (1 − 2ε),  m = β[u_w − u_l],  u =
 * log(π/π_ref). Its mean over labels flipped with probability ε is DPO's loss on the right ones. ε
 * = 0 is DPO. Unbounded below for ε > 0: as m grows it falls like −ε·m/(1 − 2ε).
 * Source: Chowdhury et al., arXiv:2403.00409.
 */
export const robust = definePairLoss({
  name: "robust",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1), label_smoothing: labelSmoothingOption(0.1) }),
  build(g, terms, { beta, label_smoothing: epsilon }) {
    const rewards = implicitRewards(g, terms, beta);
    const asLabelled = g.scale(negLogSigmoid(g, rewards.margin), 1 - epsilon);
    const flipped = g.scale(g.softplus(rewards.margin), epsilon);
    const loss = g.scale(g.mean(g.sub(asLabelled, flipped)), 1 / (1 - 2 * epsilon));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
