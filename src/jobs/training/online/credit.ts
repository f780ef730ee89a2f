/** From the answers of a rollout to what each token of them was worth. Rewards in, advantages out; nothing is run. */
import {
  type AdvantageEstimator,
  type GroupRewards,
  generalisedAdvantages,
  groupEstimators,
  isMixed,
  klShaped,
  overlongPenalty,
  whitened,
} from "../../../train/advantages.ts";
import type { JudgedRollout } from "../../../train/families/policy.ts";
import type { DrawnAnswer, DrawnGroup } from "./draw.ts";
import type { OnlineRecipe } from "./options.ts";
import type { ReadPrompt } from "./prompts.ts";

export type CreditOptions = Pick<
  OnlineRecipe,
  | "unfinished"
  | "unfinishedReward"
  | "overlongBuffer"
  | "maxTokens"
  | "rewardKl"
  | "gamma"
  | "lambda"
  | "whitens"
>;

/** An answer to learn from, of a group that was drawn. */
export interface CreditedAnswer extends JudgedRollout {
  readonly from: ReadPrompt;
}

/** log π_ref of the tokens of an answer; null: nobody asks for it. */
export type ReferenceOf = (answer: DrawnAnswer) => readonly number[] | null;

/** What the rollouts before have left for this one. */
export interface Before {
  /** Mean reward of all answers so far; null: there are none. */
  readonly meanReward: number | null;
}

/**
 * @returns [groups][answers], those that may be learned from: cut ones where `unfinished` says so, all of a prompt's
 * where its rewards differ, or where the estimator does not leave out those whose do not.
 */
export function creditGroups(
  groups: readonly DrawnGroup[],
  estimator: AdvantageEstimator,
  {
    options,
    reference,
    before,
  }: { options: CreditOptions; reference: ReferenceOf; before: Before },
): CreditedAnswer[][] {
  const rewards = groups.map((group) => rewardsOf(group, options, reference));
  if (estimator === "generalised") return generalised(groups, rewards, { options, reference });
  const all = rewards.flat().filter((reward) => reward !== null);
  const mean = before.meanReward ?? all.reduce((sum, each) => sum + each, 0) / all.length;
  return groups.map((group, i) => {
    const own = rewards[i]!;
    const baseline = estimator === "mean-baseline" ? mean : (group.baseline ?? Number.NaN);
    const given = estimator === "preference" ? preferences(group, own) : own;
    const isLost = estimator === "greedy-baseline" && group.baseline === null;
    const advantages = isLost ? own.map(() => 0) : groupEstimators[estimator](given, baseline);
    return group.answers.flatMap((answer, at): CreditedAnswer[] =>
      isLearned(answer, options)
        ? [
            {
              ...asRollout(group.prompt, answer, reference),
              advantages: answer.tokens.map(() => advantages[at]!),
              values: [],
              returns: [],
            },
          ]
        : [],
    );
  });
}

/** Whether the answers to a prompt differ in what they are worth. */
export const hasSpread = (
  group: DrawnGroup,
  options: CreditOptions,
  reference: ReferenceOf,
): boolean => isMixed(rewardsOf(group, options, reference));

/**
 * What the answers to a prompt are worth, penalties included; null: it counts nowhere.
 * r = judged (or the reward of cut answers) + overlong penalty − β·Σ(log π_old − log π_ref); the last is left to the tokens
 * where there is a value head.
 */
export function rewardsOf(
  { answers }: DrawnGroup,
  { unfinished, unfinishedReward, overlongBuffer, maxTokens, rewardKl }: CreditOptions,
  reference: ReferenceOf,
): GroupRewards {
  return answers.map((answer) => {
    const { isFinished, tokens, logps, values } = answer;
    if (!isFinished && unfinished === "drop") return null;
    const judged = isFinished ? answer.reward : (unfinishedReward ?? answer.reward);
    if (judged === null) return null;
    const overlong =
      overlongBuffer > 0 ? overlongPenalty(tokens.length, maxTokens, overlongBuffer) : 0;
    const isSpread = values.length > 0;
    const ref = rewardKl > 0 && !isSpread ? reference(answer) : null;
    const kl = ref ? logps.reduce((sum, logp, t) => sum + logp - ref[t]!, 0) : 0;
    return judged + overlong - rewardKl * kl;
  });
}

/** P(y ≻ y′) = σ(r(y) − r(y′)) where the reward judges answers one by one. Source: Bradley and Terry 1952. */
function preferences({ baseline }: DrawnGroup, rewards: GroupRewards): GroupRewards {
  if (baseline === null) return rewards;
  return rewards.map((reward) => (reward === null ? null : 1 / (1 + Math.exp(baseline - reward))));
}

const isLearned = ({ isFinished }: DrawnAnswer, { unfinished }: CreditOptions) =>
  isFinished || unfinished === "take";

function asRollout(from: ReadPrompt, answer: DrawnAnswer, reference: ReferenceOf) {
  const { tokens: completion, logps } = answer;
  return { from, prompt: from.ids, completion, logps, reference: reference(answer) };
}

/** From a value head, whitened over all tokens of the rollout where asked; answers without judgement teach nothing. */
function generalised(
  groups: readonly DrawnGroup[],
  rewards: readonly GroupRewards[],
  { options, reference }: { options: CreditOptions; reference: ReferenceOf },
): CreditedAnswer[][] {
  const credited = groups.map((group, i) =>
    group.answers.flatMap((answer, at): CreditedAnswer[] => {
      const reward = rewards[i]![at]!;
      if (reward === null || !isLearned(answer, options)) return [];
      const { values, logps } = answer;
      const ref = reference(answer) ?? logps;
      const ofTokens = klShaped(
        reward,
        logps.map((logp, t) => logp - ref[t]!),
        options.rewardKl,
      );
      const advantages = generalisedAdvantages(ofTokens, values, options);
      const returns = advantages.map((advantage, t) => advantage + values[t]!);
      return [{ ...asRollout(group.prompt, answer, reference), advantages, values, returns }];
    }),
  );
  if (!options.whitens) return credited;
  const white = whitened(credited.flat().flatMap(({ advantages }) => [...advantages]));
  let from = 0;
  return credited.map((group) =>
    group.map((answer) => {
      const advantages = white.slice(from, from + answer.completion.length);
      from += answer.completion.length;
      return { ...answer, advantages };
    }),
  );
}
