/**
 * GenARM: an autoregressive reward model, a language model whose token log-probabilities are the reward, guides a frozen
 * base: logits = base + α·arm. The request's model is the base; the other is any served policy with the same tokens, an
 * adapter for instance. Several α are several requests: nothing is trained anew.
 * The published code samples at temperature/(1 + α) because its library divides the sum by 1 + α; the two cancel, and
 * here the request's temperature is the one of the undivided sum. α = 0 is the base alone.
 * Cost: one token of both models a token; no reward call. Streams as it is drawn.
 * Source: Xu et al., arXiv:2410.08193, eq. 8; Yuancheng-Xu/GenARM. α = 1: theirs.
 */
import { Type } from "typebox";
import { defineStrategy } from "./define.ts";
import { policySteering } from "./policy-guidance.ts";
import { tokenGuided } from "./token-guided.ts";

export const genarm = defineStrategy({
  name: "genarm",
  description: "Adds an autoregressive reward model's logits to the policy's (GenARM).",
  needsReward: false,
  options: Type.Object({
    arm: Type.String({ minLength: 1, description: "id of a served policy: the reward model" }),
    alpha: Type.Number({ default: 1, description: "weight of its logits" }),
  }),
  async *run(input, { arm, alpha }) {
    const steering = policySteering(input, { option: "arm", id: arm, weights: [1, alpha] });
    yield* tokenGuided(input, steering);
  },
});
