/** What strategies demand of the reward and the options of a request, refused before anything is drawn. */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { Reward } from "../rewards/define.ts";

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

/** An option, or the reward, that the strategy cannot work with. */
export function refusal(option: string, problem: string): GatewayError {
  return new GatewayError("invalid_request", { param: `alignment.${option}`, problem });
}
