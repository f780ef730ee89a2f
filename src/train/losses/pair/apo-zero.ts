import { Type } from "typebox";
import { implicitRewards, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Anchored preference optimization, zero: loss = 1 − σ(r_w) + σ(r_l),  r = β·log(π/π_ref). Raises
 * the chosen answer and lowers the rejected one, each by itself: for pairs whose chosen answer is
 * better than the policy's own.
 * Source: D'Oosterlinck et al., arXiv:2408.06266, eq. 7, which is this less 1.
 */
export const apoZero = definePairLoss({
  name: "apo-zero",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1) }),
  build(g, terms, { beta }) {
    const rewards = implicitRewards(g, terms, beta);
    const missed = g.sigmoid(g.neg(rewards.chosen)); // 1 − σ(r_w)
    const loss = g.mean(g.add(missed, g.sigmoid(rewards.rejected)));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
