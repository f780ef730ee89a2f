/** Every kind of reward, by name. One file each. */
import { createPairClassifier } from "./pair-classifier.ts";
import { createProcessReward } from "./process-reward.ts";
import { createRewardModel } from "./reward-model.ts";

export const rewardKinds = {
  "reward-model": createRewardModel,
  "pair-classifier": createPairClassifier,
  "process-reward": createProcessReward,
} as const;
