/**
 * DeRa, decoding-time realignment: logits = λ·aligned + (1 − λ)·reference, which is how strongly the aligned model was
 * regularised, chosen per request. The request's model is the reference, from which the KL is counted; the aligned one
 * is another served policy with the same tokens. λ = 0 is the reference, 1 the aligned model, above 1 goes further.
 * Cost: one token of both models a token; no reward call. Streams as it is drawn.
 * Source: Liu et al., arXiv:2402.02992, eq. 8.
 */
import { Type } from "typebox";
import { defineStrategy } from "./define.ts";
import { policySteering } from "./policy-guidance.ts";
import { tokenGuided } from "./token-guided.ts";

export const dera = defineStrategy({
  name: "dera",
  description:
    "Mixes the logits of the policy and of an aligned one, as strongly as is wanted (DeRa).",
  needsReward: false,
  options: Type.Object({
    aligned: Type.String({ minLength: 1, description: "id of a served policy: the aligned model" }),
    lambda: Type.Number({ default: 0.5, description: "0: the policy; 1: the aligned model" }),
  }),
  async *run(input, { aligned, lambda }) {
    const weights = [1 - lambda, lambda] as const;
    yield* tokenGuided(input, policySteering(input, { option: "aligned", id: aligned, weights }));
  },
});
