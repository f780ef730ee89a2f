import { Type } from "typebox";
import { implicitRewards, pairMetrics, positivePart } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Hinge on the implicit reward margin: loss = max(0, 1 − β[u_w − u_l]),  u = log(π/π_ref). RSO
 * trains with it, with β (there γ) of 0.05. `slic` is the other loss of that name, without a
 * reference.
 * Source: Liu et al., arXiv:2309.06657.
 */
export const hinge = definePairLoss({
  name: "hinge",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1) }),
  build(g, terms, { beta }) {
    const rewards = implicitRewards(g, terms, beta);
    const missing = g.sub(g.scalar(1, rewards.margin.dtype), rewards.margin);
    const loss = g.mean(positivePart(g, missing));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
