import { Type } from "typebox";
import { implicitRewards, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Noise contrastive alignment, for pairs:
 * loss = −log σ(r_w) − ½·log σ(−r_w) − ½·log σ(−r_l),  r = β·log(π/π_ref).
 * Absolute rewards are fitted, so that the chosen answer's likelihood does not fall with the rejected
 * one's.
 * Source: Chen et al., arXiv:2402.05369, for two answers one of which is certainly the better.
 */
export const nca = definePairLoss({
  name: "nca",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1) }),
  build(g, terms, { beta }) {
    const rewards = implicitRewards(g, terms, beta);
    const noise = g.add(g.softplus(rewards.chosen), g.softplus(rewards.rejected));
    const loss = g.mean(g.add(negLogSigmoid(g, rewards.chosen), g.scale(noise, 0.5)));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
