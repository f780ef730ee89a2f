/** Runs a strategy on the tabular policy and sorts what it says. */

import { systemClock } from "../../src/base/clock.ts";
import { GatewayError } from "../../src/base/errors.ts";
import { compileOptions } from "../../src/base/options.ts";
import type { Conversation, Policy, TextSampling } from "../../src/registry/types.ts";
import type { Reward } from "../../src/rewards/define.ts";
import { Budget, type BudgetLimits, unlimited } from "../../src/strategies/budget.ts";
import type {
  Models,
  Strategy,
  StrategyEvent,
  StrategyInput,
  StrategyResult,
} from "../../src/strategies/define.ts";
import { strategies } from "../../src/strategies/index.ts";
import { otherLaw, plainSampling, tabularPolicy } from "../support/tabular-policy.ts";
import { needs } from "./examples.ts";

export interface RunOptions {
  /** In place of the tabular policy. */
  readonly policy?: Policy;
  /** In place of "?". */
  readonly conversation?: Conversation;
  readonly budget?: Partial<BudgetLimits>;
  /** In place of `tableModels`. */
  readonly models?: Models;
  readonly reward?: Reward | null;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly sampling?: Partial<TextSampling>;
  readonly choices?: number;
  readonly signal?: AbortSignal;
}

/** Models of which one more policy is served. */
export const serving = (served: Policy): Models => ({
  ...tableModels,
  policy: (id) => (id === served.id ? served : tableModels.policy(id)),
});

const policy = tabularPolicy();
const tables = [
  policy,
  tabularPolicy({ id: "same" }),
  tabularPolicy({ id: "other", law: otherLaw }),
];
/** The request's own policy, one of the same law, one of another. */
export const tableModels: Models = {
  policy: (model) => {
    const found = tables.find(({ id }) => id === model);
    if (found) return found;
    throw new GatewayError("model_not_found", { model, known: tables.map(({ id }) => id) });
  },
  reward: (asked) => {
    throw new GatewayError("reward_not_found", { reward: JSON.stringify(asked), known: [] });
  },
};
const question: Conversation = { kind: "text", text: "?" };
const readers = new Map(
  strategies.map((strategy) => [strategy, compileOptions(strategy, "alignment")]),
);

export function start(
  strategy: Strategy,
  run: RunOptions = {},
  budget = new Budget({ ...unlimited, ...run.budget }, systemClock),
): AsyncGenerator<StrategyEvent> {
  const { conversation = question } = run;
  const input: StrategyInput = {
    policy: budget.policy(run.policy ?? policy),
    reward: run.reward ? budget.reward(run.reward) : null,
    models: run.models ?? tableModels,
    budget,
    prompt: policy.encode(conversation),
    conversation,
    rewardPrompt: { messages: [{ role: "user", content: "?" }] },
    sampling: plainSampling(run.sampling),
    choices: run.choices ?? 1,
    signal: run.signal ?? new AbortController().signal,
  };
  const options = { ...needs[strategy.name]?.options, ...run.options };
  return strategy.run(input, readers.get(strategy)!(options));
}

export interface Finished {
  readonly events: readonly StrategyEvent[];
  readonly result: StrategyResult;
  /** What was spent. */
  readonly budget: Budget;
}

export async function finish(strategy: Strategy, run: RunOptions = {}): Promise<Finished> {
  const events: StrategyEvent[] = [];
  const budget = new Budget({ ...unlimited, ...run.budget }, systemClock);
  for await (const event of start(strategy, run, budget)) events.push(event);
  const last = events.at(-1);
  if (last?.type !== "done") throw new Error(`ended with ${last?.type ?? "nothing"}`);
  return { events, result: last.result, budget };
}

export const best = ({ result }: Finished) => result.candidates[result.chosen[0]!]!;
