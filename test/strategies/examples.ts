/** What some strategies need before they run at all, by name: options, a process reward. */
import type { ProcessReward, Reward } from "../../src/rewards/define.ts";
import { createStepRule } from "../../src/rewards/step-rule.ts";
import type { Strategy } from "../../src/strategies/define.ts";
import type { RunOptions } from "./support.ts";

interface Needs {
  readonly judgesSteps?: boolean;
  readonly options?: Readonly<Record<string, unknown>>;
}

export const needs: Readonly<Record<string, Needs>> = {
  "beam-search": { judgesSteps: true },
  dvts: { judgesSteps: true },
  "particle-filtering": { judgesSteps: true },
  "reward-guided-speculative": { judgesSteps: true },
  mcts: { judgesSteps: true },
  "weak-to-strong": { options: { tuned: "other", base: "same" } },
  genarm: { options: { arm: "other" } },
  dera: { options: { aligned: "other" } },
};

/** The run, with the reward that the strategy needs. */
export function fitted(strategy: Strategy, run: RunOptions): RunOptions {
  const { reward } = run;
  const isFitted = !reward || !needs[strategy.name]?.judgesSteps;
  return isFitted ? run : { ...run, reward: stepwise(reward) };
}

/** A reward of texts as one of lines, each of which has the whole text's reward. */
function stepwise<R extends Reward>(reward: R): R & ProcessReward {
  const steps = createStepRule({ separator: "\n", trims: false, aggregate: "last" });
  return {
    ...reward,
    steps,
    open(prompt, signal) {
      const session = reward.open(prompt, signal);
      return {
        ...session,
        async scoreSteps(text) {
          const whole = await session.score(text);
          const scored = steps.split(text).map((step) => ({ text: step, score: whole }));
          return { steps: scored, reward: whole };
        },
      };
    },
  };
}
