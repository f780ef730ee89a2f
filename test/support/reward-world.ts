/** What rewards that are made of others are made of in tests. */
import { systemClock } from "../../src/base/clock.ts";
import { compileOptions } from "../../src/base/options.ts";
import type { Reward, RewardKind, RewardWorld, Speaker } from "../../src/rewards/define.ts";
import { cannedReward } from "./canned-reward.ts";

export interface Given {
  readonly rewards?: readonly Reward[];
  readonly speaker?: Speaker;
}

export function rewardWorld({ rewards = [], speaker }: Given): RewardWorld {
  return {
    reward(asked) {
      const id = typeof asked === "string" ? asked : asked.kind;
      return rewards.find((reward) => reward.id === id) ?? missing(id);
    },
    speaker: (id) => speaker ?? missing(id),
    clock: systemClock,
  };
}

const missing = (id: string): never => {
  throw new Error(`the test has no '${id}'`);
};

/** A reward of the kind by its options. */
export function makeReward(
  kind: RewardKind,
  options: Readonly<Record<string, unknown>>,
  given: Given,
): Reward {
  return kind.create("mine", compileOptions(kind, "reward")(options), rewardWorld(given));
}

const { signal } = new AbortController();
const messages = [{ role: "user", content: "?" }];

/** What a reward says of each text, one after the other, in one session. */
export async function scoresOf(
  reward: Reward,
  texts: readonly string[],
  user: string | null = null,
): Promise<number[]> {
  const session = reward.open({ messages, user }, signal);
  try {
    const scores: number[] = [];
    for (const text of texts) scores.push(await session.score(text));
    return scores;
  } finally {
    session.close();
  }
}

export const open = (reward: Reward, user: string | null = null) =>
  reward.open({ messages, user }, signal);

/** By text. */
export const tableReward = (id: string, table: Readonly<Record<string, number>>) =>
  cannedReward((text) => table[text] ?? Number.NaN, id);
