/** What strategies demand of the reward and the options of a request, refused before anything is drawn. */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import {
  isPairwiseReward,
  isProcessReward,
  type PairwiseReward,
  type ProcessReward,
  type Reward,
} from "../rewards/define.ts";

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
    `${strategy} judges steps and '${reward.id}' does not; name a process reward (docs/rewards.md), or use blockwise`,
  );
}

/**
 * For a strategy that compares answers in pairs.
 * @throws GatewayError invalid_request
 */
export function demandPairs(strategy: string, reward: Reward | null): PairwiseReward {
  assert(reward !== null, `${strategy} runs without the reward it needs`);
  if (isPairwiseReward(reward)) return reward;
  throw refusal(
    "reward",
    `${strategy} compares answers in pairs and '${reward.id}' scores each; name one that compares (a pairwise judge does), or choose argmax`,
  );
}

/** @throws GatewayError invalid_request when a search is asked for more answers than it can have. */
export function demandChoices(strategy: string, choices: number, most: number): void {
  if (choices <= most) return;
  const problem = `${strategy} ends with ${most} answers at least and may not have ${choices} to return; raise alignment.n or lower n`;
  throw new GatewayError("invalid_request", { param: "n", problem });
}

/** An option, or the reward, that the strategy cannot work with. */
export function refusal(option: string, problem: string): GatewayError {
  return new GatewayError("invalid_request", { param: `alignment.${option}`, problem });
}
