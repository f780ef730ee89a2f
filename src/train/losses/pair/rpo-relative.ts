import { Type } from "typebox";
import { assert } from "../../../base/assert.ts";
import { implicitRewards, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { column, row } from "../list/comparisons.ts";
import { betaOption } from "../options.ts";

/**
 * Relative preference optimization: every chosen answer against every rejected one of the batch, those to
 * like prompts counting more: loss = mean over i, j of −log σ(ω_ij·β[u_w,i − u_l,j]),  u = log(π/π_ref),
 * ω_ij = softmax over j of −(1 − cos(x_i, x_j))/τ. Prompts are compared by the tokens that they share
 * (`promptSimilarities`), where the authors take a sentence encoder. The batch is the pass; with one pair
 * it is DPO, and with equal prompts ω is 1/pairs.
 * Source: Yin et al., arXiv:2402.10958, eq. 7, and the authors' code (`rpo-paired`), whose defaults these are.
 * Not `rpo`, which adds likelihood, nor `rpo-reward-aware`.
 */
export const rpoRelative = definePairLoss({
  name: "rpo-relative",
  needsReference: true,
  needs: ["similarities"],
  options: Type.Object({
    beta: betaOption(0.1),
    temperature: Type.Number({
      exclusiveMinimum: 0,
      default: 0.5,
      description: "τ, of the distances between prompts; small: only like prompts count",
    }),
  }),
  build(g, terms, { beta, temperature }) {
    assert(terms.similarities, "rpo-relative needs similarities of prompts");
    const rewards = implicitRewards(g, terms, beta);
    const weights = g.softmax(g.scale(terms.similarities, 1 / temperature), 1); // [pairs, pairs]
    const gaps = g.sub(column(g, rewards.chosen), row(g, rewards.rejected));
    const loss = g.mean(negLogSigmoid(g, g.mul(weights, gaps)));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
