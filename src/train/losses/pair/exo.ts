import { Type } from "typebox";
import { implicitRewards, minus, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Efficient exact optimization, for pairs:
 * loss = KL(p_π ‖ p_r) = q·log(q/(1 − ε)) + (1 − q)·log((1 − q)/ε),  q = σ(β[u_w − u_l]),
 * u = log(π/π_ref): the reverse of the divergence that cDPO takes. It is 0 where the margin is
 * log((1 − ε)/ε), and needs ε > 0. ε = 1/2 makes both answers alike.
 * Source: Ji et al., arXiv:2402.00856, eq. 16. Default ε: TRL.
 */
export const exo = definePairLoss({
  name: "exo",
  needsReference: true,
  options: Type.Object({
    beta: betaOption(0.1),
    label_smoothing: Type.Number({
      exclusiveMinimum: 0,
      maximum: 0.5,
      default: 1e-3,
      description: "ε, probability that the rejected answer is the better one",
    }),
  }),
  build(g, terms, { beta, label_smoothing: epsilon }) {
    const rewards = implicitRewards(g, terms, beta);
    const inOrder = g.sigmoid(rewards.margin); // q
    const reversed = g.sigmoid(g.neg(rewards.margin)); // 1 − q, exact where q is nearly 1
    const ofChosen = minus(g, g.neg(negLogSigmoid(g, rewards.margin)), Math.log(1 - epsilon));
    const ofRejected = minus(g, g.neg(g.softplus(rewards.margin)), Math.log(epsilon));
    const loss = g.mean(g.add(g.mul(inOrder, ofChosen), g.mul(reversed, ofRejected)));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
