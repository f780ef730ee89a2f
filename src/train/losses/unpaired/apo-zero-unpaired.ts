import { Type } from "typebox";
import { logRatio } from "../answers.ts";
import { defineUnpairedLoss } from "../define.ts";
import { betaOption } from "../options.ts";
import { costByKind, unpairedMetrics } from "./metrics.ts";

/**
 * Anchored preference optimization on single answers: a desirable one costs 1 − σ(r), an
 * undesirable one σ(r), r = β·log(π/π_ref); loss = their mean. KTO with a reference point of 0, and
 * `apo-zero` without pairs (half of it: a mean over answers instead of pairs).
 * Source: D'Oosterlinck et al., arXiv:2408.06266; TRL's `apo_zero_unpaired`.
 */
export const apoZeroUnpaired = defineUnpairedLoss({
  name: "apo-zero-unpaired",
  needsReference: true,
  needsMismatched: false,
  options: Type.Object({ beta: betaOption(0.1) }),
  build(g, terms, { beta }) {
    const rewards = g.scale(logRatio(g, terms.answers), beta);
    const loss = costByKind(g, terms, {
      desirable: g.sigmoid(g.neg(rewards)),
      undesirable: g.sigmoid(rewards),
    });
    const zero = g.scalar(0, rewards.dtype);
    return { loss, metrics: unpairedMetrics(g, terms, rewards, zero) };
  },
});
