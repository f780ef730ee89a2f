/** Rewards as a request makes them, and what they say of a text. */
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { compileOptions } from "../../src/base/options.ts";
import type { Reward, RewardKind, RewardSpec } from "../../src/rewards/define.ts";
import { cannedReward } from "../support/canned-reward.ts";

type Options = Readonly<Record<string, unknown>>;

export function made(kind: RewardKind, options: Options, clock: Clock = systemClock): Reward {
  const world = {
    reward: (asked: string | RewardSpec) =>
      cannedReward((text) => text.length, JSON.stringify(asked)),
    speaker: () => {
      throw new Error("no policy here");
    },
    clock,
  };
  return kind.create("mine", compileOptions(kind, "reward")(options), world);
}

/** What a reward of these options says of each text, in one session. */
export function judging(kind: RewardKind, options: Options, signal = new AbortController().signal) {
  const session = made(kind, options).open({ messages: [] }, signal);
  return (text: string) => session.score(text);
}
