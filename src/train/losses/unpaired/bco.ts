import { Type } from "typebox";
import { logRatio, negLogSigmoid, shiftOf } from "../answers.ts";
import { defineUnpairedLoss } from "../define.ts";
import { betaOption, shiftOption } from "../options.ts";
import { costByKind, meansByKind, unpairedMetrics } from "./metrics.ts";

/**
 * Binary classifier optimization: a desirable answer costs −log σ(r − δ), an undesirable one
 * −log σ(δ − r),  r = β·log(π/π_ref); loss = their mean. `shift` says what δ is:
 * - batch: half the mean reward of desirable answers plus half that of undesirable ones in this batch,
 *   held constant
 * - running: the mean of that middle over all steps so far, this one included; the paper's running mean
 * - none: 0
 * TRL's δ is a running mean of all rewards, which leans to the larger kind.
 * Source: Jung et al., arXiv:2404.04656, without the density ratios between kinds.
 */
export const bco = defineUnpairedLoss({
  name: "bco",
  needsReference: true,
  needsMismatched: false,
  runningMean: "middle",
  options: Type.Object({ beta: betaOption(0.1), shift: shiftOption("batch") }),
  build(g, terms, { beta, shift }) {
    const rewards = g.scale(logRatio(g, terms.answers), beta); // [answers]
    const means = meansByKind(g, rewards, terms.desirable);
    const middle = g.scale(g.add(means.desirable, means.undesirable), 0.5);
    const delta = shiftOf(g, shift, middle, terms.running);
    const logits = g.sub(rewards, delta);
    const loss = costByKind(g, terms, {
      desirable: negLogSigmoid(g, logits),
      undesirable: g.softplus(logits),
    });
    return {
      loss,
      metrics: { ...unpairedMetrics(g, terms, rewards, delta), shift: delta, middle },
    };
  },
});
