/** Every kind of reward, by name. One file each. */
import { createRewardModel } from "./reward-model.ts";

export const rewardKinds = { "reward-model": createRewardModel } as const;
