import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { type ActorCriticTerms, defineActorCriticLoss } from "../define.ts";
import {
  aggregate,
  clamp,
  clipOptions,
  clippedShare,
  clippedSurrogate,
  importanceRatio,
  policyLoss,
  policyOptions,
} from "./surrogate.ts";

/**
 * Proximal Policy Optimization with a value head: the clipped surrogate with generalised advantages, plus
 * c_v·½·mean max((V − G)², (V_clipped − G)²), where V_clipped lies within ε_v of the value at sampling.
 * G is fixed: no gradient flows through what the value head should have said.
 * The usual penalty is inside the reward (`klShaped`); with `kl_weight` it is in the loss: never in both.
 * Source: Schulman et al., arXiv:1707.06347, eqs. 7 and 9; Ouyang et al., arXiv:2203.02155. Defaults: TRL's
 * PPOConfig. Errata: see `clippedSurrogate` and `policyLoss`; Li et al.'s protocol 4 clips the mean ratio
 * of a batch, which hardly ever acts.
 */
export const ppo = defineActorCriticLoss({
  name: "ppo",
  estimator: "generalised",
  options: Type.Object({
    ...policyOptions("token-mean"),
    ...clipOptions(0.2, 0.2),
    value_weight: Type.Number({ minimum: 0, default: 0.1, description: "c_v" }),
    value_clip: Type.Number({
      exclusiveMinimum: 0,
      default: 0.2,
      description: "ε_v, how far a value may move from where it was, in the reward's unit",
    }),
  }),
  build(g, terms, options) {
    const ratio = importanceRatio(g, terms);
    const gain = clippedSurrogate(g, ratio, terms.advantages, options);
    const policy = policyLoss(g, terms, gain, options);
    const mean = (perToken: Value) =>
      aggregate(g, terms, perToken, { ...options, aggregation: "token-mean" });
    const value = g.scale(mean(squaredError(g, terms, options.value_clip)), 0.5);
    return {
      loss: g.add(policy.loss, g.scale(value, options.value_weight)),
      metrics: {
        ...policy.metrics,
        policy_loss: policy.loss,
        value_loss: value,
        value: mean(terms.values),
        clipped: clippedShare(g, terms, ratio, options),
      },
    };
  },
});

/** [tokens] the larger of the two errors: a value gains nothing by moving further than ε_v towards its target. */
function squaredError(
  g: Graph,
  { values, oldValues, returns }: ActorCriticTerms,
  valueClip: number,
): Value {
  const square = (value: Value) => {
    const error = g.sub(value, returns);
    return g.mul(error, error);
  };
  const moved = clamp(g, g.sub(values, oldValues), -valueClip, valueClip);
  return g.max(square(values), square(g.add(oldValues, moved)));
}
