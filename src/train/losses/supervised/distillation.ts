import { Type } from "typebox";
import { defineDistillationLoss } from "../define.ts";

/**
 * Supervised fine-tuning held near another (weaker) model: loss = Σ w·[−log π(token) + λ·KL(p ‖ π)] / Σ w,
 * p the other model's law of each token, of which the feeds keep the likeliest; what they leave out adds nothing.
 * Source: Xiao & Zhu, 10.12 and 10.13 (weak-to-strong generalisation, Burns et al., arXiv:2312.09390).
 * Erratum: (10.13) lacks the parenthesis that puts the second term under the sum.
 */
export const distillation = defineDistillationLoss({
  name: "distillation",
  options: Type.Object({
    teacher_weight: Type.Number({
      minimum: 0,
      default: 0.1,
      description: "λ, of the divergence from the other model",
    }),
  }),
  build(g, { logps, weights, student, teacher }, { teacher_weight }) {
    const total = g.sum(weights);
    const fit = g.neg(g.div(g.sum(g.mul(logps, weights)), total));
    const perToken = g.sum(g.mul(g.exp(teacher), g.sub(teacher, student)), 1); // [tokens] nats
    const divergence = g.div(g.sum(g.mul(perToken, weights)), total);
    return {
      loss: g.add(fit, g.scale(divergence, teacher_weight)),
      metrics: { negative_logp: fit, teacher_kl: divergence },
    };
  },
});
