import { Type } from "typebox";
import { defineSupervisedLoss } from "../define.ts";

/**
 * Supervised fine-tuning: loss = −Σ w·log π(token) / Σ w, in nats a token.
 * The mean is over the tokens of the whole batch, so long answers count more than short ones. Prompts have no
 * part in it: they are not among the tokens.
 */
export const sft = defineSupervisedLoss({
  name: "sft",
  options: Type.Object({}),
  build(g, { logps, weights }) {
    const loss = g.neg(g.div(g.sum(g.mul(logps, weights)), g.sum(weights)));
    return { loss, metrics: {} };
  },
});

/**
 * RAFT, rejection-sampling fine-tuning: supervised learning of the policy's own answers, of each prompt's
 * samples the one with the highest reward (`bestOnly`), again and again with the policy that comes of it.
 * Source: Dong et al., arXiv:2304.06767, section 3; Xiao & Zhu, 10.4.5, as rejection sampling.
 */
export const raft = defineSupervisedLoss({ ...sft, name: "raft" });

/**
 * Supervised learning of good and bad answers alike, each after words that say how good it was
 * (`jobs/training/conditional.ts`); who wants a good answer says the words for one.
 * Source: Korbak et al., arXiv:2302.08582, section 2; Hu et al., arXiv:2308.12050.
 */
export const conditionalSft = defineSupervisedLoss({ ...sft, name: "conditional-sft" });
