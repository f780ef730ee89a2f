import { Type } from "typebox";
import { implicitRewards, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Anchored preference optimization, down: loss = σ(r_w) + 1 − σ(r_w − r_l),  r = β·log(π/π_ref).
 * Lowers both answers, the rejected one more: for pairs whose chosen answer is still worse than the
 * policy's own.
 * Source: D'Oosterlinck et al., arXiv:2408.06266, eq. 8, which is this less 1.
 */
export const apoDown = definePairLoss({
  name: "apo-down",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1) }),
  build(g, terms, { beta }) {
    const rewards = implicitRewards(g, terms, beta);
    const outOfOrder = g.sigmoid(g.neg(rewards.margin)); // 1 − σ(margin)
    const loss = g.mean(g.add(g.sigmoid(rewards.chosen), outOfOrder));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
