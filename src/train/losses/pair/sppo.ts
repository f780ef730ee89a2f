import { Type } from "typebox";
import { implicitRewards, minus, pairMetrics, squared } from "../answers.ts";
import { definePairLoss } from "../define.ts";
import { betaOption } from "../options.ts";

/**
 * Self-play preference optimization, with hard labels: loss = (u_w − 1/(2β))² + (u_l + 1/(2β))²,
 * u = log(π/π_ref) and β = 1/η. Each answer's log-ratio is pulled to its win rate less ½, here ±½.
 * The reference is the last iterate, whose answers the pairs are made of.
 * Source: Wu et al., arXiv:2405.00675, eq. 4.7; default β theirs.
 */
export const sppo = definePairLoss({
  name: "sppo",
  needsReference: true,
  options: Type.Object({ beta: betaOption(0.001) }),
  build(g, terms, { beta }) {
    const ratios = implicitRewards(g, terms, 1);
    const toWin = squared(g, minus(g, ratios.chosen, 1 / (2 * beta)));
    const toLose = squared(g, minus(g, ratios.rejected, -1 / (2 * beta)));
    const loss = g.mean(g.add(toWin, toLose));
    return { loss, metrics: pairMetrics(g, terms, implicitRewards(g, terms, beta)) };
  },
});
