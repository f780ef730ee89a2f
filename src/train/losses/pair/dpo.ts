import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { boundedExp, logRatio, minus, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption, lengthNormalizeOption } from "../options.ts";

/**
 * Direct Preference Optimization: loss = −log σ(m),  m = β[φ(u_w) − φ(u_l)],  u = log(π/π_ref).
 * φ(u) is f′(eᵘ) of the divergence that keeps the policy near its reference, constants dropped:
 * - reverse-kl: u, plain DPO
 * - forward-kl: −e⁻ᵘ
 * - js: log σ(u)
 * - alpha: (e^((α−1)u) − 1)/(α − 1), which is u for α = 1
 * `length_normalize` takes means over tokens instead of sums (TRL's `sigmoid_norm`, and what the
 * authors of DIL call DPO). `ld_alpha` below 1 is LD-DPO: log-probabilities beyond the shorter answer's
 * length count so much, in both models; the batch sees to it (`desensitised`), not the formula.
 * Source: Rafailov et al., arXiv:2305.18290, eq. 7; divergences: Wang et al., arXiv:2309.16240, whose
 * α is 1 − α here (this is TRL's); lengths: Liu et al., arXiv:2409.06411. Default β: TRL's DPOConfig.
 * Erratum: Sun & van der Schaar print neither π_ref nor the minus sign; see docs/methods.md.
 */
export const dpo = definePairLoss({
  name: "dpo",
  needsReference: true,
  options: Type.Object({
    beta: betaOption(0.1),
    divergence: Type.Union(
      [
        Type.Literal("reverse-kl"),
        Type.Literal("forward-kl"),
        Type.Literal("js"),
        Type.Literal("alpha"),
      ],
      { default: "reverse-kl" },
    ),
    alpha: Type.Number({ default: 0.5, description: "of the divergence 'alpha'" }),
    length_normalize: lengthNormalizeOption(false),
    ld_alpha: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 1,
      description: "what tokens beyond the shorter answer's length count",
    }),
  }),
  build(g, terms, { beta, divergence, alpha, length_normalize }) {
    const reward = (answer: (typeof terms)["chosen"]) =>
      g.scale(shape(g, logRatio(g, answer, length_normalize), divergence, alpha), beta);
    const [chosen, rejected] = [reward(terms.chosen), reward(terms.rejected)]; // [pairs]
    const loss = g.mean(negLogSigmoid(g, g.sub(chosen, rejected)));
    return { loss, metrics: pairMetrics(g, terms, { chosen, rejected }) };
  },
});

/**
 * Online DPO: DPO on pairs of answers that the policy of now drew, the better and the worse of them by a
 * reward or a judge; the reference stays the first policy.
 * Source: Guo et al., arXiv:2402.04792; Xiong et al., arXiv:2312.11456.
 */
export const onlineDpo = definePairLoss({ ...dpo, name: "online-dpo" });

type Divergence = "reverse-kl" | "forward-kl" | "js" | "alpha";

function shape(g: Graph, u: Value, divergence: Divergence, alpha: number): Value {
  const power = alpha - 1;
  switch (divergence) {
    case "reverse-kl":
      return u;
    case "forward-kl":
      return g.neg(boundedExp(g, g.neg(u)));
    case "js":
      return g.neg(negLogSigmoid(g, u));
    case "alpha":
      if (power === 0) return u;
      return g.scale(minus(g, boundedExp(g, g.scale(u, power)), 1), 1 / power);
  }
}
