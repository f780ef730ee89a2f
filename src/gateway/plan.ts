/** What a request asks for, decided before anything runs: every refusal of a request happens here. */
import { GatewayError } from "../base/errors.ts";
import { compileOptions } from "../base/options.ts";
import { freshSeed } from "../base/random.ts";
import type { Registry } from "../registry/registry.ts";
import type { ChatMessage, Conversation, Policy, TextSampling } from "../registry/types.ts";
import { isPairwiseReward, type Reward } from "../rewards/define.ts";
import { type BudgetLimits, unlimited } from "../strategies/budget.ts";
import type { Strategy } from "../strategies/define.ts";
import { strategyNamed } from "../strategies/index.ts";
import type { AlignmentRequest, AnswerRequest } from "./types.ts";

export interface Plan {
  readonly policy: Policy;
  readonly strategy: Strategy;
  /** Checked, defaults filled in. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly reward: Reward | null;
  /** Judges every candidate and chooses none. */
  readonly holdout: Reward | null;
  readonly prompt: readonly number[];
  readonly rewardMessages: readonly ChatMessage[];
  readonly sampling: TextSampling;
  readonly budget: BudgetLimits;
}

const plainSampling: AlignmentRequest = { strategy: "sample", reward: null, options: {} };

/**
 * Makes the planner of these models and strategies. A request's own `alignment` takes the place of its
 * preset's as a whole; without either the strategy is `sample`.
 * @throws GatewayError invalid_request when a preset's options do not fit its strategy.
 */
export function createPlanner(registry: Registry, strategies: readonly Strategy[]) {
  const readers = new Map(
    strategies.map((strategy) => [strategy, compileOptions(strategy, "alignment")]),
  );
  for (const preset of registry.presets) readAlignment(preset);

  function readAlignment({ strategy: name, options }: AlignmentRequest) {
    const strategy = strategyNamed(name, strategies);
    return { strategy, options: readers.get(strategy)!(options) };
  }

  /** @throws GatewayError when the request cannot be answered as asked; nothing has run by then. */
  return (request: AnswerRequest): Plan => {
    const { policy, preset } = registry.model(request.model);
    const alignment = request.alignment ?? preset ?? plainSampling;
    const { strategy, options } = readAlignment(alignment);
    const reward = rewardOf(registry, alignment.reward, strategy);
    const holdout = holdoutOf(registry, alignment, reward);
    if (!strategy.compares?.(options)) refuseComparing(reward);
    const prompt = policy.encode(request.conversation);
    const sampling = samplingOf(request, policy, policy.contextTokens - prompt.length);
    const rewardMessages = messagesOf(request.conversation, policy);
    const { budget = unlimited } = alignment;
    const judges = { reward, holdout };
    return { policy, strategy, options, ...judges, prompt, rewardMessages, sampling, budget };
  };
}

function rewardOf(
  registry: Registry,
  asked: AlignmentRequest["reward"],
  strategy: Strategy,
): Reward | null {
  if (asked !== null) return registry.reward(asked);
  if (!strategy.needsReward) return null;
  return registry.defaultReward ?? refuseWithoutReward(strategy.name);
}

/** @throws GatewayError reward_compares_only for one that has no number for an answer alone. */
function refuseComparing(reward: Reward | null): void {
  if (reward === null || !isPairwiseReward(reward) || reward.scoresAlone) return;
  throw new GatewayError("reward_compares_only", { reward: reward.id });
}

/** @throws GatewayError invalid_request for the reward that chooses: it would agree with itself */
function holdoutOf(
  registry: Registry,
  { holdout }: AlignmentRequest,
  reward: Reward | null,
): Reward | null {
  if (holdout === undefined) return null;
  const held = registry.reward(holdout, "alignment.holdout");
  if (isPairwiseReward(held) && !held.scoresAlone) {
    const problem = `'${held.id}' only compares answers with each other; give it a 'reference' to compare with, or name a reward that scores them`;
    throw new GatewayError("invalid_request", { param: "alignment.holdout", problem });
  }
  if (held.id !== reward?.id || held.revision !== reward.revision) return held;
  const problem = `'${held.id}' is the reward that chooses; name another one`;
  throw new GatewayError("invalid_request", { param: "alignment.holdout", problem });
}

function refuseWithoutReward(strategy: string): never {
  const problem = `${strategy} needs a reward and this server has no default one; name a reward`;
  throw new GatewayError("invalid_request", { param: "alignment.reward", problem });
}

/** What was asked over the policy's defaults; `room` is what the context holds after the prompt. */
function samplingOf({ sampling }: AnswerRequest, { defaults }: Policy, room: number): TextSampling {
  const { maxTokens, ...asked } = sampling;
  return {
    ...defaults,
    ...asked,
    seed: asked.seed ?? freshSeed(),
    maxTokens: Math.min(maxTokens ?? room, room),
  };
}

/** A bare text prompt is one user message: rewards judge conversations. */
function messagesOf(conversation: Conversation, policy: Policy): readonly ChatMessage[] {
  switch (conversation.kind) {
    case "chat":
      return conversation.messages;
    case "text":
      return [{ role: "user", content: conversation.text }];
    case "tokens": {
      const bytes = conversation.tokens.map((id) => policy.tokenText(id).bytes);
      return [{ role: "user", content: Buffer.concat(bytes).toString("utf8") }];
    }
  }
}
