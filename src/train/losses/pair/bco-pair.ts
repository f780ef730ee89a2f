import { Type } from "typebox";
import { implicitRewards, negLogSigmoid, pairMetrics, shiftOf } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption, shiftOption } from "../options.ts";

/**
 * Binary classifier optimization, on pairs: loss = −log σ(r_w − δ) − log σ(δ − r_l),  r =
 * β·log(π/π_ref). `shift` says what δ is: "none" 0 (TRL since 1.10); "batch" half the mean reward
 * of chosen answers plus half that of rejected ones in this batch, held constant; "running" the mean of
 * that middle over all steps so far, this one included, as in the paper.
 * Source: Jung et al., arXiv:2404.04656.
 */
export const bcoPair = definePairLoss({
  name: "bco-pair",
  needsReference: true,
  runningMean: "middle",
  options: Type.Object({ beta: betaOption(0.1), shift: shiftOption("none") }),
  build(g, terms, { beta, shift }) {
    const rewards = implicitRewards(g, terms, beta);
    const { chosen, rejected } = rewards;
    const middle = g.scale(g.mean(g.add(chosen, rejected)), 0.5);
    const delta = shiftOf(g, shift, middle, terms.running);
    const asChosen = negLogSigmoid(g, g.sub(chosen, delta));
    const asRejected = g.softplus(g.sub(rejected, delta));
    const loss = g.mean(g.add(asChosen, asRejected));
    return { loss, metrics: { ...pairMetrics(g, terms, rewards), middle } };
  },
});
