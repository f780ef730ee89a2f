import { Type } from "typebox";
import { defineCorrectionLoss } from "../define.ts";

/**
 * Corrective language modelling: for each token of an answer name the right one and score the written one,
 * loss = −Σ w·log p(right) / Σ w + ½ · mean (score − target)².
 * Naming the right token keeps what a score is compared with before the model; without it a small model
 * forgets how to name it before it has learned to compare.
 * Source: Meng et al., arXiv:2102.08473 (COCO-LM), section 3.2; there the second term is a binary cross-entropy.
 */
export const corrective = defineCorrectionLoss({
  name: "corrective",
  options: Type.Object({}),
  build(g, { logps, weights, scores, targets }) {
    const total = g.sum(g.mul(weights, logps));
    const naming = g.neg(g.div(total, g.sum(weights)));
    const error = g.sub(scores, targets); // [tokens]
    const scoring = g.mean(g.mul(error, error));
    const isRight = g.cast(g.less(g.scalar(0, scores.dtype), g.mul(scores, targets)), scores.dtype);
    return {
      loss: g.add(naming, g.scale(scoring, 0.5)),
      metrics: { naming, scoring, accuracy: g.mean(isRight) },
    };
  },
});
