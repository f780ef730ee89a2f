import { Type } from "typebox";
import {
  implicitRewards,
  logRatio,
  pairMetrics,
  smoothedNegLogSigmoid,
  sorted,
} from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption, labelSmoothingOption } from "../options.ts";

/**
 * Alignment via optimal transport: the distribution of good rewards shall dominate that of bad ones,
 * quantile by quantile instead of pair by pair: loss = −log σ(β·δᵢ), label-smoothed, mean over i.
 * - paired: δᵢ = sort(log π_w − log π_l)ᵢ − sort(log π_ref,w − log π_ref,l)ᵢ
 * - not `paired`: δᵢ = sort(u_w)ᵢ − sort(u_l)ᵢ,  u = log(π/π_ref); chosen and rejected answers need
 *   not have the same prompt
 * Quantiles are the batch's: with one pair the loss is DPO.
 * Source: Melnyk et al., arXiv:2406.05882.
 */
export const aot = definePairLoss({
  name: "aot",
  needsReference: true,
  options: Type.Object({
    beta: betaOption(0.1),
    paired: Type.Boolean({ default: true }),
    label_smoothing: labelSmoothingOption(0),
  }),
  build(g, terms, { beta, paired, label_smoothing }) {
    const { chosen, rejected } = terms;
    const [good, bad] = paired
      ? [g.sub(chosen.logps, rejected.logps), g.sub(chosen.references, rejected.references)]
      : [logRatio(g, chosen), logRatio(g, rejected)];
    const delta = g.sub(sorted(g, good), sorted(g, bad)); // [pairs] by quantile
    const loss = g.mean(smoothedNegLogSigmoid(g, g.scale(delta, beta), label_smoothing));
    return { loss, metrics: pairMetrics(g, terms, implicitRewards(g, terms, beta)) };
  },
});
