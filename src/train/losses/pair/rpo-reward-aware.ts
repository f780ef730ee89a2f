import { Type } from "typebox";
import { assert } from "../../../base/assert.ts";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { implicitRewards, negLogSigmoid, pairMetrics, squared } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Reward-aware preference optimization: the margin of implicit rewards m = β[u_w − u_l], u = log(π/π_ref),
 * shall be the one that is known of the pair, t = η·(r_w − r_l), instead of growing for ever:
 * - backward-kl: KL(σ(t) ‖ σ(m)), of the two Bernoulli laws; without its constant cross-entropy
 * - forward-kl: KL(σ(m) ‖ σ(t))
 * - squared: (m − t)²
 * Source: Adler et al., arXiv:2406.11704 (Nemotron-4), eq. 1; Sun et al., arXiv:2502.00203; names of the
 * distances as in NeMo-Aligner. Not `rpo`, which adds likelihood, nor `rpo-relative`.
 */
export const rpoRewardAware = definePairLoss({
  name: "rpo-reward-aware",
  needsReference: true,
  needs: ["margins"],
  options: Type.Object({
    beta: betaOption(0.1),
    eta: Type.Number({
      exclusiveMinimum: 0,
      default: 1,
      description: "η, what a unit of the rows' margins is worth",
    }),
    distance: Type.Union(
      [Type.Literal("backward-kl"), Type.Literal("forward-kl"), Type.Literal("squared")],
      { default: "backward-kl" },
    ),
  }),
  build(g, terms, { beta, eta, distance }) {
    assert(terms.margins, "rpo-reward-aware needs margins");
    const rewards = implicitRewards(g, terms, beta);
    const target = g.scale(terms.margins, eta); // [pairs]
    const loss = g.mean(DISTANCES[distance](g, rewards.margin, target));
    const gap = g.mean(g.abs(g.sub(rewards.margin, target)));
    return { loss, metrics: { ...pairMetrics(g, terms, rewards), gap } };
  },
});

type Distance = (g: Graph, margin: Value, target: Value) => Value;

/** Σ of both outcomes: σ(p)·[log σ(p) − log σ(q)] + σ(−p)·[log σ(−p) − log σ(−q)]. */
const divergence: Distance = (g, p, q) => {
  const part = (a: Value, b: Value) =>
    g.mul(g.sigmoid(a), g.sub(negLogSigmoid(g, b), negLogSigmoid(g, a)));
  return g.add(part(p, q), part(g.neg(p), g.neg(q)));
};

const DISTANCES = {
  "backward-kl": (g, margin, target) => divergence(g, target, margin),
  "forward-kl": divergence,
  squared: (g, margin, target) => squared(g, g.sub(margin, target)),
} as const satisfies Record<string, Distance>;
