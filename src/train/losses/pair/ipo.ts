import { Type } from "typebox";
import { implicitRewards, minus, pairMetrics, squared } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption, lengthNormalizeOption } from "../options.ts";

/**
 * Identity Preference Optimization: loss = (u_w − u_l − 1/(2β))²,  u = log(π/π_ref); β is the
 * paper's τ. One name, three losses: `length_normalize` (default, as TRL and HALOs; TRL cites the
 * authors) takes u as the mean over tokens; without it (the paper's equation 17, OpenRLHF) u is the
 * sum; TRL's CPO-IPO has no reference at all.
 * Source: Azar et al., arXiv:2310.12036, eq. 17.
 */
export const ipo = definePairLoss({
  name: "ipo",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1), length_normalize: lengthNormalizeOption(true) }),
  build(g, terms, { beta, length_normalize }) {
    const ratios = implicitRewards(g, terms, 1, length_normalize);
    const loss = g.mean(squared(g, minus(g, ratios.margin, 1 / (2 * beta))));
    const rewards = implicitRewards(g, terms, beta, length_normalize);
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
