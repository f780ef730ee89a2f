import { Type } from "typebox";
import { implicitRewards, negLogSigmoid, pairMetrics } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Self-play fine-tuning: loss = −log σ(λ[u_w − u_l]),  u = log(π/π_t): DPO whose chosen answer is a
 * demonstration, whose rejected one was drawn from the last iterate π_t, and whose reference is
 * π_t. So it is ln 2 at the start of every iteration, and stands still once the policy's answers
 * are distributed as the demonstrations. λ is `beta`. Below 1 the iterate overshoots the
 * demonstrations: its optimum is π_t·(π_demo/π_t)^(1/λ), normalised.
 * Source: Chen et al., arXiv:2401.01335, eq. 4.7, with the logistic loss. Default λ: their code.
 */
export const spin = definePairLoss({
  name: "spin",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.1) }),
  build(g, terms, { beta }) {
    const rewards = implicitRewards(g, terms, beta);
    const loss = g.mean(negLogSigmoid(g, rewards.margin));
    return { loss, metrics: pairMetrics(g, terms, rewards) };
  },
});
