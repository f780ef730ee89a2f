/** What sampling strategies share: draw candidates in one batch and have each judged when it is complete. */
import { InvariantError } from "../base/assert.ts";
import type { SampledToken } from "../engine/types.ts";
import type { Candidate } from "../registry/types.ts";
import type { RewardSession } from "../rewards/define.ts";
import type { ScoredCandidate, StrategyEvent, StrategyInput } from "./define.ts";

export interface DrawControl {
  readonly signal: AbortSignal;
  readonly emit: (event: StrategyEvent) => void;
  /** Text of candidate `index` as it becomes final. */
  readonly onText: (index: number, text: string, tokens: readonly SampledToken[]) => void;
}

/**
 * Draws n candidates; each is judged as soon as it is complete, while the others still decode, and
 * announced by `candidate-scored`. Without a reward they are announced unjudged.
 * @returns [n] in order of index.
 */
export async function drawAndScore(
  { policy, reward, prompt, rewardPrompt, sampling }: StrategyInput,
  n: number,
  { signal, emit, onText }: DrawControl,
): Promise<ScoredCandidate[]> {
  signal.throwIfAborted();
  const session = reward?.open(rewardPrompt, signal) ?? null;
  const judged: Promise<ScoredCandidate>[] = [];
  const onCandidate = (candidate: Candidate) => {
    const verdict = judge(candidate, session, signal).then((scored) => {
      emit({
        type: "candidate-scored",
        index: scored.index,
        reward: scored.reward,
        candidate: scored,
      });
      return scored;
    });
    verdict.catch(() => {}); // NOTE: awaited below; an earlier rejection must not count as unhandled
    judged.push(verdict);
  };
  try {
    await policy.generate(prompt, n, sampling, { signal, onText, onCandidate });
    const scored = await Promise.all(judged);
    return scored.sort((a, b) => a.index - b.index);
  } finally {
    session?.close();
  }
}

/** A failing source costs its candidate the reward, not the request; only abort and our own bugs reject. */
async function judge(
  candidate: Candidate,
  session: RewardSession | null,
  signal: AbortSignal,
): Promise<ScoredCandidate> {
  if (session === null) return { ...candidate, reward: null, rewardProblem: null };
  try {
    const reward = await session.score(candidate.text);
    if (Number.isFinite(reward)) return { ...candidate, reward, rewardProblem: null };
    return { ...candidate, reward: null, rewardProblem: `the reward gave ${reward}` };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InvariantError) throw error;
    const rewardProblem = error instanceof Error ? error.message : String(error);
    return { ...candidate, reward: null, rewardProblem };
  }
}
