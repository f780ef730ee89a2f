import { Type } from "typebox";
import { defineSupervisedLoss } from "../define.ts";

/**
 * Supervised fine-tuning: loss = −Σ w·log π(token) / Σ w, in nats a token.
 * The mean is over the tokens of the whole batch, so long answers count more than short ones.
 */
export const sft = defineSupervisedLoss({
  name: "sft",
  options: Type.Object({}),
  build(g, { logps, weights }) {
    const loss = g.neg(g.div(g.sum(g.mul(logps, weights)), g.sum(weights)));
    return { loss, metrics: {} };
  },
});
