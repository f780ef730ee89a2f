import { Type } from "typebox";
import { assert } from "../../../base/assert.ts";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { implicitRewards, negLogSigmoid, pairMetrics } from "../answers.ts";
import { type AnswerTerms, definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Weighted preference optimization: DPO in which a pair counts by how likely the policy of now is to say
 * its answers itself: loss = −w·log σ(β[u_w − u_l]),  u = log(π/π_ref), w = min(1, w(y_w)·w(y_l)) held
 * constant, w(y) by `alignment`:
 * - sampled: exp of the mean over tokens of log π(token) − log Σ_v π(v)², the mean probability of a
 *   token that π itself draws, so that w is about 1 for its own answers
 * - none: exp of the mean of log π(token)
 * NOTE: the sum over pairs is not divided by the weights, so the step shrinks with them, as in the source.
 * Source: Zhou et al., arXiv:2406.11827, eqs. 2 to 5, and the authors' code, whose bound of 1 TRL's
 * `use_weighting` does not have.
 */
export const wpo = definePairLoss({
  name: "wpo",
  needsReference: true,
  needs: ["collisions"],
  options: Type.Object({
    beta: betaOption(0.1),
    alignment: Type.Union([Type.Literal("sampled"), Type.Literal("none")], {
      default: "sampled",
      description: "what an answer's probabilities are compared with",
    }),
  }),
  build(g, terms, { beta, alignment }) {
    const rewards = implicitRewards(g, terms, beta);
    const isAligned = alignment === "sampled";
    const likeness = g.add(
      meanAligned(g, terms.chosen, isAligned),
      meanAligned(g, terms.rejected, isAligned),
    );
    const bounded = g.exp(g.min(likeness, g.scalar(0, likeness.dtype)));
    const weights = g.stopGradient(bounded); // [pairs]
    const loss = g.mean(g.mul(weights, negLogSigmoid(g, rewards.margin)));
    return { loss, metrics: { ...pairMetrics(g, terms, rewards), weight: g.mean(weights) } };
  },
});

/** [answers] the mean over tokens of log π(token), less that of log Σ_v π(v)² where asked for. */
function meanAligned(g: Graph, answer: AnswerTerms, isAligned: boolean): Value {
  assert(answer.collisions, "wpo needs the collisions of each law");
  const aligned = isAligned ? g.sub(answer.logps, answer.collisions) : answer.logps;
  return g.div(aligned, answer.tokens);
}
