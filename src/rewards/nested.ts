/** How options name another reward: by its id, or by its kind and options. */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import {
  type Judgement,
  judgementOf,
  type Reward,
  type RewardSession,
  type ScoreOptions,
} from "./define.ts";

export const nestedReward = Type.Union(
  [
    Type.String({ minLength: 1 }),
    Type.Object({ kind: Type.String({ minLength: 1 }) }, { additionalProperties: true }), // the kind's own schema decides
  ],
  { description: "a reward's id, or {kind, and its options}" },
);

/** What several kinds need of an option that the schema cannot demand. */
export function required<T>(value: T | undefined, option: string, why: string): T {
  if (value !== undefined) return value;
  const param = `alignment.reward.${option}`;
  throw new GatewayError("invalid_request", { param, problem: `is required ${why}` });
}

/** What a reward made of one other costs: as many judgements as that one. */
export const callsOf = ({ calls }: Reward) => (calls === undefined ? {} : { calls });

/** A judgement as parts of another: the reward under its id, and below it what it is made of. */
export function asParts(id: string, { reward, parts }: Judgement): [string, number][] {
  const below = Object.entries(parts).map(([name, score]): [string, number] => [
    `${id}/${name}`,
    score,
  ]);
  return [[id, reward], ...below];
}

/** Turns the reward of a text into another; what is to be heard of rewards that it compares with is told as its own. */
export type Rescore = (
  reward: number,
  text: string,
  how?: ScoreOptions,
) => number | Promise<number>;

/** A session that turns each reward of another into one of its own, and reports the other's as a part. */
export function rescoring(
  base: RewardSession,
  id: string,
  rescore: Rescore,
  close: () => void = () => base.close(),
): RewardSession {
  const judge = async (text: string, how?: ScoreOptions): Promise<Judgement> => {
    const raw = await judgementOf(base, text, how);
    return {
      reward: await rescore(raw.reward, text, how),
      parts: Object.fromEntries(asParts(id, raw)),
    };
  };
  return {
    judge,
    score: async (text, how) => (await judge(text, how)).reward,
    close,
  };
}
