/** From what a rollout's answers were worth to the passes of one update. */
import { importanceWeights, isMixed } from "../../../train/advantages.ts";
import type { StepData } from "../../../train/batches.ts";
import { type PreferenceGroup, pairStep } from "../../../train/families/answers.ts";
import { actorCriticStep, policyStep } from "../../../train/families/policy.ts";
import type { Loss } from "../../../train/losses/define.ts";
import type { Pass } from "../../../train/trainer.ts";
import type { Example } from "../define-material.ts";
import { cutIntoPasses, rowOf } from "../schedule-examples.ts";
import type { CreditedAnswer, ReferenceOf } from "./credit.ts";
import type { DrawnAnswer, DrawnGroup } from "./draw.ts";
import type { OnlineRecipe } from "./options.ts";
import type { ReadPrompt } from "./prompts.ts";

/** Examples and the passes that they are cut into, for whoever has to name them. */
export interface Update {
  readonly passes: readonly Pass[];
  readonly examples: readonly (readonly Example[])[];
}

export interface UpdateOptions {
  readonly loss: Loss;
  readonly lossOptions: OnlineRecipe["lossOptions"];
  readonly passTokens: number;
}

/** Losses without a ratio of probabilities: answers of an older policy have to be weighed. */
export const lacksRatio = ({ name }: Loss): boolean =>
  ["reinforce", "rloo", "remax", "nash-md"].includes(name);

/** What tokens weigh that a policy before has drawn; of answers in the order given. */
export function correctedWeights(
  answers: readonly CreditedAnswer[],
  now: readonly (readonly number[])[],
  importance: OnlineRecipe["importance"],
): CreditedAnswer[] {
  return answers.map((answer, i) => ({
    ...answer,
    weights: importanceWeights(now[i]!, answer.logps, importance),
  }));
}

/** One answer is one example. A mean over tokens counts its tokens, every other it. */
export function policyUpdate(answers: readonly CreditedAnswer[], options: UpdateOptions): Update {
  const { loss } = options;
  const step = (some: readonly CreditedAnswer[], rowTokens: number): StepData =>
    loss.family === "actor-critic" ? actorCriticStep(some, rowTokens) : policyStep(some, rowTokens);
  const countsTokens = options.lossOptions["aggregation"] === "token-mean";
  const weightOf = ({ weights, completion }: CreditedAnswer) =>
    weights?.reduce((sum, weight) => sum + weight, 0) ?? completion.length;
  const examples = answers.map((answer) => ({
    ...exampleOf(answer.from, [answer]),
    share: countsTokens ? weightOf(answer) : 1,
    answer,
  }));
  return updateOf(examples, options, (some) =>
    step(
      some.map(({ answer }) => answer),
      rowOf(some),
    ),
  );
}

/** The best and the worst answer to each prompt; where all are worth the same there is no pair. */
export function pairUpdate(
  groups: readonly { readonly prompt: ReadPrompt; readonly pair: Pair }[],
  reference: ReferenceOf,
  options: UpdateOptions,
): Update {
  const totalOf = (answer: DrawnAnswer) =>
    reference(answer)?.reduce((sum, logp) => sum + logp, 0) ?? 0;
  const examples = groups.map(({ prompt, pair }) => {
    const answers = [pair.chosen, pair.rejected].map((answer) => ({
      completion: answer.tokens,
      reference: totalOf(answer),
    }));
    const group: PreferenceGroup = {
      prompt: prompt.ids,
      answers,
      pairs: [{ chosen: 0, rejected: 1 }],
    };
    const prompted = answers.map(({ completion }) => ({ prompt: prompt.ids, completion }));
    return { ...exampleOf(prompt, prompted), group };
  });
  return updateOf(examples, options, (some) =>
    pairStep(
      some.map(({ group }) => group),
      rowOf(some),
    ),
  );
}

export interface Pair {
  readonly chosen: DrawnAnswer;
  readonly rejected: DrawnAnswer;
}

/** Ties: the earlier answer. @param rewards of its answers; null: it counts nowhere */
export function pairOf({ answers }: DrawnGroup, rewards: readonly (number | null)[]): Pair | null {
  if (!isMixed(rewards)) return null;
  const known = rewards.filter((reward) => reward !== null);
  const at = (reward: number) => answers[rewards.indexOf(reward)]!;
  return { chosen: at(Math.max(...known)), rejected: at(Math.min(...known)) };
}

interface Sequence {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
}

function exampleOf({ place }: ReadPrompt, answers: readonly Sequence[]): Example {
  return {
    place,
    lengths: answers.map(({ prompt, completion }) => prompt.length + completion.length),
    scoredTokens: answers.reduce((sum, { completion }) => sum + completion.length, 0),
    share: 1,
    answers,
  };
}

function updateOf<E extends Example>(
  examples: readonly E[],
  { passTokens }: UpdateOptions,
  data: (some: readonly E[]) => StepData,
): Update {
  const counted = examples.filter(({ share }) => share > 0);
  const total = counted.reduce((sum, { share }) => sum + share, 0);
  const cut = cutIntoPasses(counted, passTokens);
  return {
    examples: cut,
    passes: cut.map((some) => ({
      data: data(some),
      share: some.reduce((sum, { share }) => sum + share, 0) / total,
    })),
  };
}
