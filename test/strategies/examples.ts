/** What some strategies need before they run at all: a process reward, other models. By name. */
import { GatewayError } from "../../src/base/errors.ts";
import type { ProcessReward, Reward } from "../../src/rewards/define.ts";
import { createStepRule } from "../../src/rewards/step-rule.ts";
import type { Models, Strategy } from "../../src/strategies/define.ts";
import { type Law, tabularGenerator } from "../support/tabular-generator.ts";
import { end, law, tabularPolicy, tokenizer } from "../support/tabular-policy.ts";
import type { RunOptions } from "./support.ts";

interface Example {
  readonly judgesSteps?: boolean;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly models?: Models;
}

/** Another law over the same tokens: whatever came before, "end" about half of the time, else a, b or c. */
export const otherLaw: Law = () => {
  const letters = ["a", "b", "c"].map((letter) => tokenizer.idOf(letter)!);
  return new Map([...letters.map((id, i) => [id, [0.11, 0.17, 0.23][i]!] as const), [end, 0.49]]);
};

const { vocabSize } = tokenizer;
const tables = new Map([
  ["table", tabularPolicy()],
  ["same", tabularPolicy({ id: "same", generator: tabularGenerator({ law, vocabSize }) })],
  [
    "other",
    tabularPolicy({ id: "other", generator: tabularGenerator({ law: otherLaw, vocabSize }) }),
  ],
]);

export const tableModels: Models = {
  policy(model) {
    const found = tables.get(model);
    if (found) return found;
    throw new GatewayError("model_not_found", { model, known: [...tables.keys()] });
  },
  reward: (asked) => {
    throw new GatewayError("reward_not_found", { reward: JSON.stringify(asked), known: [] });
  },
};

const judgesSteps: Example = { judgesSteps: true };
const examples: Readonly<Record<string, Example>> = {
  "beam-search": judgesSteps,
  dvts: judgesSteps,
  "particle-filtering": judgesSteps,
  "reward-guided-speculative": judgesSteps,
  mcts: judgesSteps,
  "weak-to-strong": { options: { tuned: "other", base: "same" }, models: tableModels },
};

/** The run with what the strategy needs. */
export function fitted(strategy: Strategy, run: RunOptions): RunOptions {
  const { judgesSteps: isStepwise = false, ...example } = examples[strategy.name] ?? {};
  const { reward } = run;
  return { ...example, ...run, ...(reward && isStepwise && { reward: stepwise(reward) }) };
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
