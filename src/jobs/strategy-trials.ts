/** What `plumbline eval strategies` compares when it is told nothing else: what one policy and one reward model can do. */
import { type Domain, domains } from "../corpus/index.ts";
import type { RewardSpec } from "../rewards/define.ts";
import type { Trial } from "./evaluate-strategies.ts";

type Options = Readonly<Record<string, unknown>>;
type Judge = string | RewardSpec | null;

const arithmetic: readonly Domain[] = ["arithmetic"];

/** Judges the steps of a calculation; no model is asked. */
const calculation: RewardSpec = { kind: "calculation" };

/** A wrong step outweighs what the model makes of it. */
const both = (reward: string): RewardSpec => ({
  kind: "ensemble",
  combine: "sum",
  parts: [{ reward }, { reward: calculation, id: "calculation", weight: 8 }],
});

/** @param reward of whole and unfinished answers. */
export function embeddedTrials(reward: string): Trial[] {
  const trial =
    (where: readonly Domain[], judge: Judge) =>
    (strategy: string, options: Options = {}, name = named(strategy, options)): Trial => {
      return { name, strategy, reward: judge, options, domains: where };
    };
  const judged = trial(domains, reward);
  const counted = trial(arithmetic, null);
  const weighed = trial(arithmetic, reward);
  const checked = trial(arithmetic, calculation);
  return [
    trial(domains, null)("sample"),
    judged("best-of-n", { n: 4 }),
    judged("best-of-n", { n: 16 }),
    judged("best-of-n", { n: 64 }),
    judged("best-of-n", { n: 16, choose: "tilted", beta: 1 }, "best-of-n 16 tilted"),
    judged("adaptive-best-of-n", { n: 64 }),
    judged("rejection", { n: 16 }),
    judged("rso", { n: 16 }),
    judged(
      "mixture",
      { n: 16, members: [{ temperature: 0.7 }, { temperature: 1.3 }] },
      "mixture 16",
    ),
    judged("blockwise", { k: 8, block_tokens: 16 }, "blockwise 8 × 16"),
    judged("speculative-rejection", { n: 16 }),
    judged("speculative-rejection", { n: 64 }),
    judged("cards", { reward_goal: 2 }),
    judged("args", { k: 10 }),
    judged("args", { k: 10, at: "end-of-turn" }, "args 10, end of turn"),
    judged("rad", { k: 10, beta: 4 }),
    judged("value-guided", { k: 10, lambda: 2 }),
    counted("majority-vote", { n: 16 }),
    counted("majority-vote", { n: 64 }),
    weighed("weighted-vote", { n: 16 }),
    weighed("weighted-vote", { n: 64 }),
    checked("best-of-n", { n: 4 }, "best-of-n 4, calculation"),
    trial(arithmetic, both(reward))("best-of-n", { n: 8 }, "best-of-n 8, both rewards"),
    trial(arithmetic, both(reward))("weighted-vote", { n: 8 }, "weighted-vote 8, both rewards"),
    checked("beam-search", { n: 4 }),
    checked("dvts", { n: 8 }),
    checked("particle-filtering", { n: 8 }),
    checked("mcts"),
  ];
}

/** The strategy and its size. */
function named(strategy: string, { n, k }: Options): string {
  const size = n ?? k;
  return typeof size === "number" ? `${strategy} ${size}` : strategy;
}
