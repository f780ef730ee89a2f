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
  /** What the shares of the passes sum to: less than 1 where something needs no computing. */
  readonly counted: number;
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

/**
 * A mean over tokens counts an answer's tokens, every other it. What changes no gradient is not computed: answers without
 * advantage, where nothing else is asked of them, and what was drawn several times is read once and weighs as often.
 */
export function policyUpdate(answers: readonly CreditedAnswer[], options: UpdateOptions): Update {
  const { loss, lossOptions } = options;
  const step = (some: readonly CreditedAnswer[], rowTokens: number): StepData =>
    loss.family === "actor-critic" ? actorCriticStep(some, rowTokens) : policyStep(some, rowTokens);
  const countsTokens = lossOptions["aggregation"] === "token-mean";
  const shareOf = (answer: CreditedAnswer) => (countsTokens ? weightOf(answer) : 1);
  const examples = whatTeaches(answers, options).map((answer) => ({
    ...exampleOf(answer.from, [answer]),
    share: shareOf(answer),
    answer,
  }));
  const total = answers.reduce((sum, answer) => sum + shareOf(answer), 0);
  return updateOf(
    examples,
    (some) =>
      step(
        some.map(({ answer }) => answer),
        rowOf(some),
      ),
    { ...options, total },
  );
}

const weightOf = ({ weights, completion }: CreditedAnswer) =>
  weights?.reduce((sum, weight) => sum + weight, 0) ?? completion.length;

function whatTeaches(
  answers: readonly CreditedAnswer[],
  { loss, lossOptions }: UpdateOptions,
): readonly CreditedAnswer[] {
  if (loss.family === "actor-critic") return answers; // its critic learns from all
  const asksMore = ["kl_weight", "entropy_weight"].some(
    (name) => Number(lossOptions[name] ?? 0) > 0,
  );
  const some = asksMore
    ? answers
    : answers.filter(({ advantages }) => advantages.some((advantage) => advantage !== 0));
  return loss.name === "gspo" ? some : distinct(some); // its ratio takes weights within the exponent
}

/** Equal answers to one prompt as one of their weight together, where they are worth the same. */
function distinct(answers: readonly CreditedAnswer[]): CreditedAnswer[] {
  const found = new Map<string, CreditedAnswer>();
  for (const answer of answers) {
    const { from, completion, advantages, weights } = answer;
    const key = JSON.stringify([from.key, completion, advantages, weights?.length]);
    const known = found.get(key);
    const own = weights ?? completion.map(() => 1);
    const before = known?.weights ?? completion.map(() => 0);
    found.set(key, { ...answer, ...known, weights: own.map((weight, t) => weight + before[t]!) });
  }
  return [...found.values()];
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
  return updateOf(
    examples,
    (some) =>
      pairStep(
        some.map(({ group }) => group),
        rowOf(some),
      ),
    { ...options, total: examples.length },
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

/** @param total of the shares, those left out included. */
function updateOf<E extends Example>(
  examples: readonly E[],
  data: (some: readonly E[]) => StepData,
  { passTokens, total }: { readonly passTokens: number; readonly total: number },
): Update {
  const counted = examples.filter(({ share }) => share > 0);
  const cut = cutIntoPasses(counted, passTokens);
  return {
    examples: cut,
    counted: counted.reduce((sum, { share }) => sum + share, 0) / total,
    passes: cut.map((some) => ({
      data: data(some),
      share: some.reduce((sum, { share }) => sum + share, 0) / total,
    })),
  };
}
