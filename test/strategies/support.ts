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
import { type Law, type ListedCompletion, listCompletions } from "../support/tabular-generator.ts";
import {
  end,
  law,
  otherLaw,
  plainSampling,
  tabularPolicy,
  tokenizer,
} from "../support/tabular-policy.ts";

export interface RunOptions {
  /** In place of the tabular policy. */
  readonly policy?: Policy;
  /** In place of "?". */
  readonly conversation?: Conversation;
  readonly budget?: Partial<BudgetLimits>;
  /** By id; more policies and rewards. */
  readonly models?: Models;
  readonly reward?: Reward | null;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly sampling?: Partial<TextSampling>;
  readonly choices?: number;
  readonly signal?: AbortSignal;
}

/** Models of which one policy is served. */
export const serving = (served: Policy): Models => ({
  ...otherModels,
  policy: (id) => (id === served.id ? served : otherModels.policy(id)),
});

/** What a strategy cannot do without. */
export const neededOptions: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  genarm: { arm: "other" },
  dera: { aligned: "other" },
};

const other = tabularPolicy({ id: "other", law: otherLaw });
const otherModels: Models = {
  policy: (model) => {
    if (model === other.id) return other;
    throw new GatewayError("model_not_found", { model, known: [other.id] });
  },
  reward: (asked) => {
    throw new GatewayError("reward_not_found", { reward: JSON.stringify(asked), known: [] });
  },
};
const policy = tabularPolicy();
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
    models: run.models ?? otherModels,
    budget,
    prompt: policy.encode(conversation),
    conversation,
    rewardPrompt: { messages: [{ role: "user", content: "?" }] },
    sampling: plainSampling(run.sampling),
    choices: run.choices ?? 1,
    signal: run.signal ?? new AbortController().signal,
  };
  const options = { ...neededOptions[strategy.name], ...run.options };
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

export interface ListedText extends ListedCompletion {
  readonly text: string;
}

/** Every answer the tabular policy, or one of another law, can give in so many tokens; no two have the same text. */
export function listTexts(maxTokens: number, rows: Law = law): ListedText[] {
  return listCompletions(rows, end, maxTokens).map((listed) => ({
    ...listed,
    text: tokenizer.decode(listed.tokens),
  }));
}

/**
 * The exact law of an answer picked from n independent candidates: every tuple of texts with its probability, shared
 * among its places as `chances` says.
 */
export function pickLaw(
  listed: readonly ListedText[],
  n: number,
  chances: (tuple: readonly ListedText[]) => readonly number[],
): Map<string, number> {
  const law = new Map(listed.map(({ text }) => [text, 0]));
  const extend = (tuple: readonly ListedText[], probability: number) => {
    if (tuple.length < n) {
      for (const next of listed) extend([...tuple, next], probability * next.probability);
      return;
    }
    for (const [at, chance] of chances(tuple).entries()) {
      const { text } = tuple[at]!;
      law.set(text, law.get(text)! + probability * chance);
    }
  };
  extend([], 1);
  return law;
}

/** All the chance to one place. */
export const certainly = (tuple: readonly unknown[], place: number): number[] =>
  tuple.map((_, at) => (at === place ? 1 : 0));

/** The first place of the highest value. */
export const argmax = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/**
 * Pearson's Σ (observed − expected)²/expected over the texts, of so many draws. Texts expected less
 * than 5 times count together, so the degrees of freedom are at most the texts less one.
 */
export function chiSquare(
  observed: ReadonlyMap<string, number>,
  law: ReadonlyMap<string, number>,
  draws: number,
): number {
  const cells = [...law].map(([text, p]) => [observed.get(text) ?? 0, p * draws] as const);
  const large = cells.filter(([, expected]) => expected >= 5);
  const rest = cells.filter(([, expected]) => expected < 5);
  const pooled = rest.reduce(([o, e], [seen, expected]) => [o + seen, e + expected], [0, 0]);
  const all = pooled[1]! > 0 ? [...large, pooled] : large;
  return all.reduce((sum, [seen, expected]) => sum + (seen! - expected!) ** 2 / expected!, 0);
}

export async function countTexts(draws: number, draw: (seed: number) => Promise<string>) {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < draws; seed++) {
    const text = await draw(seed);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}
