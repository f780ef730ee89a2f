import { Type } from "typebox";
import { defineRewardListLoss } from "../define.ts";

/** Added to the exponents of answers that are out of the race: finite, and far below any score. */
const OUT = -1e9;

/**
 * Plackett-Luce: the best of a list is chosen among all, the second among the rest, and so on:
 * loss = −mean over lists of Σᵢ log(e^rᵢ / Σ_{j ≥ i} e^rⱼ), answers in order of preference. Of two it is Bradley-Terry.
 * Source: Plackett 1975; Xiao & Zhu, 10.58 to 10.60; Rafailov et al., arXiv:2305.18290, appendix A.3.
 */
export const plackettLuce = defineRewardListLoss({
  name: "plackett-luce",
  options: Type.Object({}),
  build(g, { scores, present }) {
    const [lists, places] = [scores.shape[0]!, scores.shape[1]!];
    const dtype = scores.dtype;
    const row = (x: typeof scores) => g.reshape(x, [lists, 1, places]);
    const column = (x: typeof scores) => g.reshape(x, [lists, places, 1]);
    const place = g.op("CumSum", [g.expandLike(g.scalar(1, dtype), scores)], {
      axis: 1,
      reverse: 0,
    });
    const isLater = g.lessOrEqual(column(place), row(place)); // [lists, i, j]: j still in the race at i
    const isReal = g.less(g.scalar(0, dtype), row(present));
    const race = g.where(g.and(isLater, isReal), g.scalar(0, dtype), g.scalar(OUT, dtype));
    const ahead = g.add(g.sub(row(scores), column(scores)), race); // rⱼ − rᵢ, so that nothing overflows
    const stages = g.mul(g.logSumExp(ahead, 2), present); // [lists, i] nats
    const perList = g.sum(stages, 1);
    const best = g.reshape(g.gather(scores, g.ints([0]), 1), [lists]);
    const top = g.maximum(g.add(scores, g.scale(g.sub(g.scalar(1, dtype), present), OUT)), 1);
    return {
      loss: g.mean(perList),
      metrics: { accuracy: g.mean(g.cast(g.lessOrEqual(top, best), dtype)) },
    };
  },
});
