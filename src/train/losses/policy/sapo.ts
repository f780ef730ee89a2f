import { Type } from "typebox";
import { definePolicyLoss } from "../define.ts";
import { importanceRatio, policyLoss, policyOptions } from "./surrogate.ts";

const temperature = (default_: number, of: string) =>
  Type.Number({ exclusiveMinimum: 0, default: default_, description: `τ of tokens with ${of}` });

/**
 * Soft Adaptive Policy Optimization: instead of a clip a soft gate, gain = 4/τ·σ(τ(ρ − 1))·A, whose slope
 * is 1 at ρ = 1 and falls off to both sides, faster where A < 0.
 * Source: Gao et al., arXiv:2511.20347. Defaults: TRL's GRPOConfig (1 and 1.05).
 */
export const sapo = definePolicyLoss({
  name: "sapo",
  estimator: "group-normalised",
  options: Type.Object({
    ...policyOptions("token-mean"),
    temperature_positive: temperature(1, "A > 0"),
    temperature_negative: temperature(1.05, "A ≤ 0"),
  }),
  build(g, terms, options) {
    const { advantages } = terms;
    const number = (x: number) => g.scalar(x, advantages.dtype);
    const isPositive = g.less(number(0), advantages);
    const { temperature_positive: up, temperature_negative: down } = options;
    const rate = g.where(isPositive, number(up), number(down)); // [tokens]
    const ratio = importanceRatio(g, terms);
    const gate = g.sigmoid(g.mul(rate, g.sub(ratio, number(1))));
    const gain = g.mul(g.mul(g.div(number(4), rate), gate), advantages);
    return policyLoss(g, terms, gain, options);
  },
});
