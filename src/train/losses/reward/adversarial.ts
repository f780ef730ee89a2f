import { Type } from "typebox";
import type { Graph, Value } from "../../../onnx/graph.ts";
import { boundedExp, negLogSigmoid, sharePositive } from "../answers.ts";
import { defineRewardLoss } from "../define.ts";
import { weightedMean } from "./pairs.ts";

/**
 * The discriminator of adversarial imitation (f-GAN): demonstrations (chosen) against the policy's
 * own answers (rejected): loss = −E_demo[T] + E_own[f*(T)], least where it is −D_f(demo ‖ own).
 * The score v gives T by an activation:
 * - gail: T = log 2 + log σ(v), f* = −log 2 − log σ(−v); D_f = 2·JS at v = log(demo/own)
 * - airl: T = −e⁻ᵛ, f* = v − 1; D_f = KL(own ‖ demo) at v = log(demo/own)
 * - fairl: T = v, f* = e^(v − 1); D_f = KL(demo ‖ own) at v = 1 + log(demo/own)
 * With gail the score is the demonstration reward log D − log(1 − D) of alignment from
 * demonstrations; with the others the policy's reward is f*(T).
 * Source: Nowozin et al., arXiv:1606.00709; Ho & Ermon, arXiv:1606.03476; Fu et al.,
 * arXiv:1710.11248; Ghasemipour et al., arXiv:1911.02256; Sun & van der Schaar, eqs. 2 to 4.
 * Erratum: their table 4 gives GAIL's divergence as JS, not 2·JS; see docs/methods.md.
 */
export const adversarial = defineRewardLoss({
  name: "adversarial",
  options: Type.Object({
    divergence: Type.Union([Type.Literal("gail"), Type.Literal("airl"), Type.Literal("fairl")], {
      default: "gail",
    }),
  }),
  build(g, { chosen: demonstration, rejected: own, weights }, { divergence }) {
    const [critic, conjugate] = DIVERGENCES[divergence](g, demonstration, own);
    const mean = (x: Value) => weightedMean(g, x, weights);
    const estimate = g.sub(mean(critic), mean(conjugate));
    const margin = g.sub(demonstration, own);
    return {
      loss: g.neg(estimate),
      metrics: { accuracy: sharePositive(g, margin), margin: g.mean(margin), divergence: estimate },
    };
  },
});

/** T of the demonstrations' scores and f*(T) of the others'. */
type Divergence = (g: Graph, demonstration: Value, own: Value) => readonly [Value, Value];

const DIVERGENCES = {
  gail: (g, v, own) => {
    const ln2 = g.scalar(Math.LN2, v.dtype);
    return [g.sub(ln2, negLogSigmoid(g, v)), g.sub(g.softplus(own), ln2)];
  },
  airl: (g, v, own) => [g.neg(boundedExp(g, g.neg(v))), g.sub(own, g.scalar(1, v.dtype))],
  fairl: (g, v, own) => [v, boundedExp(g, g.sub(own, g.scalar(1, v.dtype)))],
} as const satisfies Record<string, Divergence>;
