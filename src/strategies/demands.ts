/** What a strategy demands of its reward, refused before anything runs. */
import { GatewayError } from "../base/errors.ts";
import type { Reward } from "../rewards/define.ts";

/** @throws GatewayError invalid_request for a reward to which an unfinished answer means nothing. */
export function demandPrefixes(strategy: string, reward: Reward): void {
  if (reward.acceptsPrefixes) return;
  const problem = `${strategy} judges unfinished answers and the reward '${reward.id}' judges whole ones only; name another reward, or a strategy such as best-of-n`;
  throw new GatewayError("invalid_request", { param: "alignment.reward", problem });
}
