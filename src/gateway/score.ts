/** Raw rewards of given texts. */
import { GatewayError } from "../base/errors.ts";
import type { Registry } from "../registry/registry.ts";
import {
  isProcessReward,
  judgementOf,
  type ProcessReward,
  type Reward,
  type RewardPrompt,
  type RewardSpec,
} from "../rewards/define.ts";
import type { RewardScores } from "./types.ts";

/** The field of a request for scores that brings a reward. */
const where = "reward";

/** @throws GatewayError reward_not_found; invalid_request where none is named and there is no default */
export function rewardAsked(registry: Registry, asked: string | RewardSpec | null): Reward {
  if (asked !== null) return registry.reward(asked, where);
  if (registry.defaultReward) return registry.defaultReward;
  const problem = "this server has no default reward; name one";
  throw new GatewayError("invalid_request", { param: where, problem });
}

interface ScoreInput {
  readonly prompt: RewardPrompt;
  readonly texts: readonly string[];
  readonly signal: AbortSignal;
}

export function scoreTexts(reward: Reward, input: ScoreInput): Promise<RewardScores> {
  return isProcessReward(reward) ? scoreSteps(reward, input) : scoreWhole(reward, input);
}

async function scoreSteps(
  reward: ProcessReward,
  { prompt, texts, signal }: ScoreInput,
): Promise<RewardScores> {
  const { id, revision } = reward;
  const session = reward.open(prompt, signal);
  try {
    const all = await Promise.all(texts.map((text) => session.scoreSteps(text)));
    const scores = all.map(({ reward: value }) => judged(value));
    return { reward: id, revision, scores, steps: all.map(({ steps }) => steps) };
  } finally {
    session.close();
  }
}

async function scoreWhole(
  reward: Reward,
  { prompt, texts, signal }: ScoreInput,
): Promise<RewardScores> {
  const { id, revision } = reward;
  const session = reward.open(prompt, signal);
  try {
    const all = await Promise.all(texts.map((text) => judgementOf(session, text)));
    const scores = all.map(({ reward: value }) => judged(value));
    const parts = all.map((judgement) => judgement.parts);
    const hasParts = parts.some((names) => Object.keys(names).length > 0);
    const flags = all.map((judgement) => judgement.flags ?? []);
    const hasFlags = flags.some(({ length }) => length > 0);
    return { reward: id, revision, scores, ...(hasParts && { parts }), ...(hasFlags && { flags }) };
  } finally {
    session.close();
  }
}

const judged = (value: number) => (Number.isFinite(value) ? value : null);
