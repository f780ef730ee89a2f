/** How searches over steps judge branches: a process reward's scores of the steps, in one number. */
import { Type } from "typebox";
import type { ProcessReward, ProcessRewardSession } from "../rewards/define.ts";
import { type AggregateName, aggregateNames, aggregates } from "../rewards/step-rule.ts";
import type { StrategyInput } from "./define.ts";
import { demandSteps } from "./demands.ts";
import {
  type Branch,
  type Segment,
  type Segments,
  searchSegments,
  wholeSteps,
} from "./segments.ts";

/** Options of every search over steps. */
export const stepOptions = {
  aggregate: Type.Enum(["reward", ...aggregateNames], {
    default: "reward",
    description: "how the scores of the steps become one number; 'reward': as the reward does it",
  }),
  step_tokens: Type.Integer({
    minimum: 1,
    default: 512,
    description: "tokens of a step at most, where no separator ends it before",
  }),
};

export interface StepOptions {
  readonly aggregate: "reward" | AggregateName;
  readonly step_tokens: number;
}

/** A search over the steps of a process reward. */
export class Steps {
  readonly segments: Segments;
  readonly budget: StrategyInput["budget"];
  readonly step: Segment;
  readonly #reward: ProcessReward;
  readonly #session: ProcessRewardSession;
  readonly #aggregate: StepOptions["aggregate"];

  constructor(
    { reward, session, budget }: StepParts,
    segments: Segments,
    { aggregate, step_tokens: tokensMax }: StepOptions,
  ) {
    this.segments = segments;
    this.budget = budget;
    this.step = { tokensMax, steps: reward.steps };
    this.#reward = reward;
    this.#session = session;
    this.#aggregate = aggregate;
  }

  /** The branches with the rewards of their steps: of the whole ones, until the answer has ended. */
  judge(branches: readonly Branch[]): Promise<Branch[]> {
    return this.segments.judgeAll(branches, async (branch) => {
      const { reward } = await this.scores(branch);
      return { reward, parts: {} };
    });
  }

  /** [steps] in order, and their reward by the aggregate that was asked for. */
  async scores({ text, end }: Branch): Promise<{ steps: readonly number[]; reward: number }> {
    const whole = wholeSteps(this.#reward.steps, text);
    // a step that was ended by its length has no separator, and is judged as it is
    const read = end === null && whole !== "" ? whole : text;
    const judged = await this.#session.scoreSteps(read);
    const steps = judged.steps.map(({ score }) => score);
    if (this.#aggregate === "reward" || steps.length === 0) return { steps, reward: judged.reward };
    return { steps, reward: aggregates[this.#aggregate](steps) };
  }
}

interface StepParts {
  readonly reward: ProcessReward;
  readonly session: ProcessRewardSession;
  readonly budget: StrategyInput["budget"];
}

/**
 * Runs a search over steps.
 * @throws GatewayError invalid_request when the reward judges no steps
 */
export function searchSteps<R>(
  name: string,
  input: StrategyInput,
  options: StepOptions,
  search: (steps: Steps) => Promise<R>,
) {
  const reward = demandSteps(name, input.reward);
  const open = (signal: AbortSignal) => reward.open(input.rewardPrompt, signal);
  return searchSegments(input, open, (segments, session) =>
    search(new Steps({ reward, session, budget: input.budget }, segments, options)),
  );
}
