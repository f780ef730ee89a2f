/** Prompts in tokens, as the policy reads them, and what makes an answer to each right. */
import { GatewayError } from "../../../base/errors.ts";
import type { Reward, RewardSpec } from "../../../rewards/define.ts";
import { rewardKindNamed } from "../../../rewards/index.ts";
import { type BatchPrompt, type BatchPrompts, refuseFaults } from "../../batch/prompts.ts";
import { encodeRow, type RowFormat, UnusableRow } from "../encode-rows.ts";

export interface ReadPrompt extends BatchPrompt {
  readonly ids: readonly number[];
}

/**
 * Without those that the policy cannot read, or that leave an answer no token.
 * @throws GatewayError training_rows_unusable
 */
export function readPrompts(
  { prompts: given, dropped }: BatchPrompts,
  { format, contextTokens }: { format: RowFormat; contextTokens: number },
  badRows: "refuse" | "drop",
): { readonly prompts: readonly ReadPrompt[]; readonly dropped: number } {
  const faults: (BatchPrompt["place"] & { readonly problem: string })[] = [];
  const prompts = given.flatMap((each) => {
    try {
      const { prompt: ids } = encodeRow(format, { prompt: each.prompt, answers: [] }, "spoken");
      if (ids.length < contextTokens) return [{ ...each, ids }];
      const problem = `the prompt has ${ids.length} tokens, and the context of ${contextTokens} leaves no answer`;
      throw new UnusableRow(problem);
    } catch (error) {
      const isTemplates = error instanceof GatewayError && error.code === "invalid_request";
      if (!(error instanceof UnusableRow || isTemplates)) throw error;
      faults.push({ ...each.place, problem: error.message });
      return [];
    }
  });
  refuseFaults(faults, prompts.length === 0 ? "refuse" : badRows);
  return { prompts, dropped: dropped + faults.length };
}

/** The reward of each prompt: one for all, or a rule that is given the prompt's own right answer. */
export interface PromptRewards {
  /** Of the one for all; of a rule, its kind's name and options. */
  readonly revision: string;
  readonly of: (prompt: BatchPrompt) => Reward;
}

/**
 * Without those that have no right answer, where the reward compares with one.
 * @throws GatewayError training_rows_unusable
 */
export function answerable(
  { prompts, ...counts }: BatchPrompts,
  reward: string | RewardSpec | null,
  badRows: "refuse" | "drop",
): BatchPrompts {
  if (reward === null || typeof reward === "string" || !lacksAnswer(reward))
    return { ...counts, prompts };
  const [known, unknown] = [true, false].map((isKnown) =>
    prompts.filter(({ answer }) => (answer !== null) === isKnown),
  ) as [BatchPrompt[], BatchPrompt[]];
  const problem = `it has no right answer (answer, solution, ground_truth), which ${reward.kind} compares with`;
  refuseFaults(
    unknown.map(({ place }) => ({ ...place, problem })),
    known.length === 0 ? "refuse" : badRows,
  );
  return { ...counts, prompts: known, dropped: counts.dropped + unknown.length };
}

/** @param prompts answerable ones. @throws GatewayError reward_not_found, invalid_request */
export function promptRewards(
  asked: string | RewardSpec | null,
  find: (asked: string | RewardSpec | null) => Reward,
  prompts: readonly BatchPrompt[],
): PromptRewards {
  if (asked === null || typeof asked === "string" || !lacksAnswer(asked)) {
    const reward = find(asked);
    return { revision: `${reward.id}@${reward.revision}`, of: () => reward };
  }
  const of = ({ answer }: BatchPrompt) => find({ ...asked, expected: answer });
  for (const prompt of prompts) of(prompt); // what is wrong with a right answer is said before anything is drawn
  return { revision: JSON.stringify(asked), of };
}

const lacksAnswer = (spec: RewardSpec) =>
  "expected" in rewardKindNamed(spec.kind, "--reward").options.properties && !("expected" in spec);
