import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import {
  boundedExp,
  implicitRewards,
  minus,
  negLogSigmoid,
  pairMetrics,
  positivePart,
  squared,
} from "../answers.ts";
import { definePairLoss } from "../define.ts";

/**
 * Generalized self-imitation learning: the policy's log-ratio classifies demonstrations (chosen)
 * against answers of its last iterate π_t (rejected; π_t is the reference, too):
 * loss = ℓ₊(f_w) + ℓ₋(f_l),  f = a·log(π/π_t) + b, and ℓ₊, ℓ₋ by `estimator`:
 * - bernoulli: −log σ(f), −log σ(−f)
 * - brier: (1 − σ(f))², σ(f)²
 * - hinge: max(0, 1 − f), max(0, 1 + f)
 * - kliep: −f, e^f
 * - lsif: −e^f, ½·e^(2f)
 * Ratios are summed, unlike DIL's.
 * Source: Xiao et al., arXiv:2410.10093, and the authors' code, whose defaults these are.
 */
export const gsil = definePairLoss({
  name: "gsil",
  needsReference: true,
  options: Type.Object({
    estimator: Type.Union(
      [
        Type.Literal("bernoulli"),
        Type.Literal("brier"),
        Type.Literal("hinge"),
        Type.Literal("kliep"),
        Type.Literal("lsif"),
      ],
      { default: "bernoulli", description: "how the density ratio is estimated" },
    ),
    scale: Type.Number({ exclusiveMinimum: 0, default: 0.1, description: "a" }),
    shift: Type.Number({ default: 0.1, description: "b" }),
  }),
  build(g, terms, { estimator, scale, shift }) {
    const rewards = implicitRewards(g, terms, scale);
    const parts = [minus(g, rewards.chosen, -shift), minus(g, rewards.rejected, -shift)] as const;
    const [ofDemonstration, ofOwn] = ESTIMATORS[estimator](g, ...parts);
    const loss = g.mean(g.add(ofDemonstration, ofOwn));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});

type Estimator = (g: Graph, demonstration: Value, own: Value) => readonly [Value, Value];

const ESTIMATORS = {
  bernoulli: (g, f, own) => [negLogSigmoid(g, f), g.softplus(own)],
  brier: (g, f, own) => [squared(g, g.sigmoid(g.neg(f))), squared(g, g.sigmoid(own))],
  hinge: (g, f, own) => [
    positivePart(g, minus(g, g.neg(f), -1)),
    positivePart(g, minus(g, own, -1)),
  ],
  kliep: (g, f, own) => [g.neg(f), boundedExp(g, own)],
  lsif: (g, f, own) => [g.neg(boundedExp(g, f)), g.scale(boundedExp(g, g.scale(own, 2)), 0.5)],
} as const satisfies Record<string, Estimator>;
