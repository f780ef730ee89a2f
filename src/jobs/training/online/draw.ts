/** Answers of the policy of now to the prompts of one rollout, judged. Seeds follow from rollout and place. */
import { InvariantError } from "../../../base/assert.ts";
import type { Clock } from "../../../base/clock.ts";
import { splitSeed } from "../../../base/random.ts";
import type { Policy, TextSampling } from "../../../registry/types.ts";
import { isPairwiseReward, type PairwiseReward, type Reward } from "../../../rewards/define.ts";
import { Budget, unlimited } from "../../../strategies/budget.ts";
import type { ScoredCandidate, StrategyInput } from "../../../strategies/define.ts";
import { dera } from "../../../strategies/dera.ts";
import { drawAndScore, numberOf } from "../../../strategies/draw.ts";
import { conversationOf } from "../../batch/prompts.ts";
import type { PromptRewards, ReadPrompt } from "./prompts.ts";

export interface DrawnAnswer {
  readonly text: string;
  readonly tokens: readonly number[];
  /** log of the probability that each token had when it was drawn, by the law that drew it; nats. */
  readonly logps: readonly number[];
  /** A value head's, before each token; empty without one. */
  readonly values: readonly number[];
  /** Raw; null: no judgement. */
  readonly reward: number | null;
  /** False: the limit of tokens has cut it. */
  readonly isFinished: boolean;
}

/** The answers to one prompt. */
export interface DrawnGroup {
  readonly prompt: ReadPrompt;
  readonly seed: number;
  readonly answers: readonly DrawnAnswer[];
  /** What the answers' rewards are compared with: of the greedy answer, of the opponent's; null: nothing, or it has none. */
  readonly baseline: number | null;
}

export interface Rollout {
  /** From 0. */
  readonly index: number;
  /** Updates that the policy had had. */
  readonly sampledAt: number;
  readonly groups: readonly DrawnGroup[];
}

/** What besides the k answers is drawn for a prompt: nothing, the greedy answer, or one of the mixture with the reference. */
export type Comparison =
  | { readonly kind: "none" }
  | { readonly kind: "greedy" }
  | { readonly kind: "mixture"; readonly reference: Policy; readonly share: number };

export interface Drawing {
  readonly policy: Policy;
  readonly rewards: PromptRewards;
  readonly comparison: Comparison;
  readonly k: number;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly seed: number;
  readonly clock: Clock;
}

/** All at once; the first failure ends the others. Log-probabilities are those of temperature 1, values are none. */
export async function drawGroups(
  drawing: Drawing,
  prompts: readonly ReadPrompt[],
  rollout: number,
): Promise<DrawnGroup[]> {
  const seeds = splitSeed(drawing.seed, rollout);
  return atOnce(prompts, (prompt, i, signal) =>
    drawGroup(drawing, prompt, { seed: splitSeed(seeds, i) >>> 0, signal }),
  );
}

/** One answer to each prompt, with the same seeds whenever it is asked. */
export async function drawOnce(
  drawing: Drawing,
  prompts: readonly ReadPrompt[],
): Promise<ScoredCandidate[]> {
  const seeds = splitSeed(drawing.seed, -1);
  return atOnce(prompts, async (prompt, i, signal) => {
    const [answer] = await draw(drawing, prompt, {
      n: 1,
      sampling: samplingOf(drawing, prompt, splitSeed(seeds, i) >>> 0),
      signal,
    });
    return answer!;
  });
}

interface Asked {
  readonly seed: number;
  readonly signal: AbortSignal;
}

async function drawGroup(
  drawing: Drawing,
  prompt: ReadPrompt,
  { seed, signal }: Asked,
): Promise<DrawnGroup> {
  const sampling = samplingOf(drawing, prompt, seed);
  const candidates = await draw(drawing, prompt, { n: drawing.k, sampling, signal });
  const other = await drawOther(drawing, prompt, { sampling, signal });
  const reward = drawing.rewards.of(prompt);
  const compared =
    other !== null && isPairwiseReward(reward)
      ? await preferences(reward, { prompt, candidates, other, signal })
      : null;
  return {
    prompt,
    seed,
    baseline: compared ? null : (other?.reward ?? null),
    answers: candidates.map(({ text, tokens, finishReason, reward: raw }, i) => ({
      text,
      tokens: tokens.map(({ id }) => id),
      logps: tokens.map(({ logprob }) => logprob),
      values: [],
      reward: compared ? compared[i]! : raw,
      isFinished: finishReason === "stop",
    })),
  };
}

interface Draws {
  readonly n: number;
  readonly sampling: TextSampling;
  readonly signal: AbortSignal;
}

function draw(
  { policy, rewards }: Drawing,
  prompt: ReadPrompt,
  { n, sampling, signal }: Draws,
): Promise<ScoredCandidate[]> {
  const reward = rewards.of(prompt);
  return drawAndScore(
    {
      policy,
      reward: isScoring(reward) ? reward : null,
      prompt: prompt.ids,
      rewardPrompt: { messages: messagesOf(prompt) },
      sampling,
    },
    n,
    { signal, emit: () => {}, onText: () => {} },
  );
}

/** Whether it has a number for an answer alone. */
export const isScoring = (reward: Reward): boolean =>
  !isPairwiseReward(reward) || reward.scoresAlone;

async function drawOther(
  drawing: Drawing,
  prompt: ReadPrompt,
  { sampling, signal }: Omit<Draws, "n">,
): Promise<ScoredCandidate | null> {
  const { comparison } = drawing;
  switch (comparison.kind) {
    case "none":
      return null;
    case "greedy": {
      const greedy = { ...sampling, temperature: 0 };
      return (await draw(drawing, prompt, { n: 1, sampling: greedy, signal }))[0]!;
    }
    case "mixture":
      return drawMixed(drawing, prompt, { sampling, signal, comparison });
  }
}

/** logits = (1 − η)·own + η·reference, which is DeRa with the reference as the aligned model. */
async function drawMixed(
  { policy, rewards, clock }: Drawing,
  prompt: ReadPrompt,
  {
    sampling,
    signal,
    comparison: { reference, share },
  }: Omit<Draws, "n"> & { readonly comparison: Extract<Comparison, { kind: "mixture" }> },
): Promise<ScoredCandidate> {
  const reward = rewards.of(prompt);
  const input: StrategyInput = {
    policy,
    reward: isScoring(reward) ? reward : null,
    prompt: prompt.ids,
    conversation: conversationOf(prompt.prompt),
    rewardPrompt: { messages: messagesOf(prompt) },
    sampling: { ...sampling, seed: splitSeed(sampling.seed, -1) >>> 0 },
    models: { policy: () => reference, reward: () => reward },
    budget: new Budget(unlimited, clock),
    choices: 1,
    signal,
  };
  for await (const event of dera.run(input, { aligned: reference.id, lambda: share }))
    if (event.type === "done") return event.result.candidates[0]!;
  throw new InvariantError("the mixture ended without an answer");
}

interface Compared {
  readonly prompt: ReadPrompt;
  readonly candidates: readonly ScoredCandidate[];
  readonly other: ScoredCandidate;
  readonly signal: AbortSignal;
}

/** P(candidate ≻ other) by a reward that compares; null: no judgement. */
async function preferences(
  reward: PairwiseReward,
  { prompt, candidates, other, signal }: Compared,
): Promise<(number | null)[]> {
  const session = reward.open({ messages: messagesOf(prompt) }, signal);
  try {
    return await Promise.all(
      candidates.map(async ({ text }) => numberOf(await session.compare(text, other.text)).reward),
    );
  } finally {
    session.close();
  }
}

const samplingOf = (
  { policy, temperature, maxTokens }: Drawing,
  { ids }: ReadPrompt,
  seed: number,
): TextSampling => ({
  ...policy.defaults,
  temperature,
  maxTokens: Math.min(maxTokens, policy.contextTokens - ids.length),
  seed,
});

const messagesOf = ({ prompt }: ReadPrompt) =>
  "messages" in prompt ? prompt.messages : [{ role: "user" as const, content: prompt.text }];

async function atOnce<T, R>(
  items: readonly T[],
  task: (item: T, at: number, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const stop = new AbortController();
  const tasks = items.map((item, at) => task(item, at, stop.signal));
  try {
    return await Promise.all(tasks);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(tasks);
    throw error;
  }
}
