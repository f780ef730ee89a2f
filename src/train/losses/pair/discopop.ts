import { Type } from "typebox";
import { boundedExp, implicitRewards, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Discovered preference optimization (log-ratio modulated): loss = (1 − s)·−log σ(m) + s·e^(−m),  s
 * = σ(m/τ), m = β[u_w − u_l],  u = log(π/π_ref): logistic where the pair is out of order,
 * exponential where it is in order. Not convex: it has a small hump to the left of 0.
 * Source: Lu et al., arXiv:2406.08414, eq. 5. Default τ: theirs.
 */
export const discopop = definePairLoss({
  name: "discopop",
  needsReference: true,
  options: Type.Object({
    beta: betaOption(0.1),
    temperature: Type.Number({
      exclusiveMinimum: 0,
      default: 0.05,
      description: "τ, width of the transition",
    }),
  }),
  build(g, terms, { beta, temperature }) {
    const rewards = implicitRewards(g, terms, beta);
    const exponential = boundedExp(g, g.neg(rewards.margin));
    const scaled = g.scale(rewards.margin, 1 / temperature);
    const loss = g.add(
      g.mul(g.sigmoid(g.neg(scaled)), negLogSigmoid(g, rewards.margin)),
      g.mul(g.sigmoid(scaled), exponential),
    );
    return { loss: g.mean(loss), metrics: pairMetrics(g, terms, rewards) };
  },
});
