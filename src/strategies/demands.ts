/** What strategies demand of a request's reward, models and options, and what they say when they cannot go on. */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { Policy } from "../registry/types.ts";
import { isProcessReward, type ProcessReward, type Reward } from "../rewards/define.ts";
import type { StrategyInput } from "./define.ts";

/**
 * For a strategy that judges unfinished answers.
 * @throws GatewayError invalid_request
 */
export function demandPrefixes(strategy: string, reward: Reward | null): Reward {
  assert(reward !== null, `${strategy} runs without the reward it needs`);
  if (reward.acceptsPrefixes) return reward;
  throw refusal(
    "reward",
    `${strategy} judges unfinished answers and '${reward.id}' only finished ones; name a reward that accepts prefixes (a reward model does), or use best-of-n`,
  );
}

/**
 * For a strategy that judges step by step.
 * @throws GatewayError invalid_request
 */
export function demandSteps(strategy: string, reward: Reward | null): ProcessReward {
  assert(reward !== null, `${strategy} runs without the reward it needs`);
  if (isProcessReward(reward)) return reward;
  throw refusal(
    "reward",
    `${strategy} judges steps and '${reward.id}' does not; name a process reward ({"kind": "calculation"} is one; docs/rewards.md), or use blockwise`,
  );
}

/**
 * For a strategy that may end with no more answers than one of its options says.
 * @throws GatewayError invalid_request
 */
export function demandChoices(strategy: string, choices: number, most: number, option = "n"): void {
  if (choices <= most) return;
  const problem = `${strategy} may end with ${most} answers and cannot return ${choices} of them; raise alignment.${option} or lower n`;
  throw new GatewayError("invalid_request", { param: "n", problem });
}

/**
 * For a strategy by which another model reads the policy's tokens, or goes on with them.
 * @param option names the other model.
 * @throws GatewayError invalid_request
 */
export function demandSameTokens(policy: Policy, other: Policy, option: string): void {
  if (other.tokenizer.hasTokensOf(policy.tokenizer)) return;
  throw refusal(
    option,
    `the tokens of '${other.id}' are not those of '${policy.id}'; name a model with the same tokenizer.json`,
  );
}

/**
 * The request's prompt as another model reads it.
 * @throws GatewayError prompt_too_long; invalid_request for token ids, which mean another thing to it
 */
export function promptOf(other: Policy, { conversation, policy }: StrategyInput): number[] {
  if (conversation.kind !== "tokens") return other.encode(conversation);
  const problem = `token ids of '${policy.id}' mean nothing to '${other.id}'; send the prompt as text or messages`;
  throw new GatewayError("invalid_request", { param: "prompt", problem });
}

/** No source judged any of the candidates; with each reason once. */
export function allFailed(
  failed: readonly { readonly rewardProblem: string | null }[],
): GatewayError {
  const reasons = new Set(failed.map(({ rewardProblem }) => rewardProblem ?? "no reason given"));
  return new GatewayError("all_candidates_failed", { n: failed.length, reasons: [...reasons] });
}

/** An option, or the reward, that the strategy cannot work with. */
export function refusal(option: string, problem: string): GatewayError {
  return new GatewayError("invalid_request", { param: `alignment.${option}`, problem });
}
