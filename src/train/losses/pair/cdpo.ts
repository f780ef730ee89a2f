import { Type } from "typebox";
import { implicitRewards, pairMetrics, smoothedNegLogSigmoid } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption, labelSmoothingOption } from "../options.ts";

/**
 * Conservative DPO: loss = −(1 − ε)·log σ(m) − ε·log σ(−m),  m = β[u_w − u_l],  u = log(π/π_ref).
 * The share ε of labels is taken to be flipped, so that margins stop growing at log((1 − ε)/ε)
 * instead of never. Biased if labels really are flipped: `robust` is the unbiased form. ε = 0 is
 * DPO.
 * Source: Mitchell 2023, "A note on DPO with noisy preferences". Default ε: HALOs (TRL 1.10 has
 * dropped it).
 */
export const cdpo = definePairLoss({
  name: "cdpo",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1), label_smoothing: labelSmoothingOption(0.2) }),
  build(g, terms, { beta, label_smoothing }) {
    const rewards = implicitRewards(g, terms, beta);
    const loss = g.mean(smoothedNegLogSigmoid(g, rewards.margin, label_smoothing));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
