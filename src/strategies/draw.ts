/** What sampling strategies share: draw candidates in one batch and have each judged when it is complete. */
import { InvariantError } from "../base/assert.ts";
import type { SampledToken } from "../engine/types.ts";
import type { Candidate, Transcribed } from "../registry/types.ts";
import { judgementOf, type RewardSession } from "../rewards/define.ts";
import type { CutReason, ScoredCandidate, StrategyEvent, StrategyInput } from "./define.ts";

export interface DrawControl {
  readonly signal: AbortSignal;
  readonly emit: (event: StrategyEvent) => void;
  /** Text of candidate `index` as it becomes final. */
  readonly onText: (index: number, text: string, tokens: readonly SampledToken[]) => void;
  /** Asked after every token: why the candidate should end there, or null. One that was cut for another reason than the budget is not judged. */
  readonly cut?: (index: number, answer: Transcribed) => CutReason | null;
  /** Called with each candidate as soon as it is judged. */
  readonly onJudged?: (candidate: ScoredCandidate) => void;
  /** Added to the candidates' indices. */
  readonly from?: number;
}

/**
 * Draws n candidates; each is judged as soon as it is complete, while the others still decode, and
 * announced by `candidate-scored`. Without a reward they are announced unjudged.
 * @returns [n] in order of index.
 */
export async function drawAndScore(
  input: Pick<StrategyInput, "policy" | "reward" | "prompt" | "rewardPrompt" | "sampling">,
  n: number,
  { signal, emit, onText, cut, onJudged, from = 0 }: DrawControl,
): Promise<ScoredCandidate[]> {
  signal.throwIfAborted();
  const { policy, reward, prompt, rewardPrompt, sampling } = input;
  const session = reward?.open(rewardPrompt, signal) ?? null;
  const cuts = new Map<number, CutReason>();
  const judged: Promise<ScoredCandidate>[] = [];
  const onCandidate = (drawn: Candidate) => {
    const isWhole = drawn.finishReason === "stop" || drawn.tokens.length >= sampling.maxTokens;
    const reason = cuts.get(drawn.index) ?? (isWhole || !isShort(input, drawn) ? null : "budget");
    const candidate = { ...drawn, index: from + drawn.index, cut: reason };
    if (reason !== null) emit({ type: "candidate-cut", index: candidate.index, reason });
    const isJudged = reason === null || reason === "budget";
    const verdict = judge(candidate, isJudged ? session : null, signal).then((scored) => {
      const { index, reward: score } = scored;
      emit({ type: "candidate-scored", index, reward: score, candidate: scored });
      onJudged?.(scored);
      return scored;
    });
    verdict.catch(() => {}); // NOTE: awaited below; an earlier rejection must not count as unhandled
    judged.push(verdict);
  };
  const isEnough = (index: number, answer: Transcribed) => {
    const reason = cut?.(from + index, answer) ?? null;
    if (reason !== null) cuts.set(index, reason);
    return reason !== null;
  };
  try {
    await policy.generate(prompt, n, sampling, {
      signal,
      onText: (index, text, tokens) => onText(from + index, text, tokens),
      onCandidate,
      isEnough,
    });
    const scored = await Promise.all(judged);
    return scored.sort((a, b) => a.index - b.index);
  } finally {
    session?.close();
  }
}

/** Ended by neither the model nor the context: whoever counts tokens ended it. */
function isShort(
  { policy, prompt }: Pick<StrategyInput, "policy" | "prompt">,
  { tokens }: Candidate,
): boolean {
  return prompt.length + tokens.length < policy.contextTokens;
}

export type Unjudged = Omit<ScoredCandidate, "reward" | "rewardProblem">;

/** A failing source costs its candidate the reward, not the request; only abort and our own bugs reject. */
export async function judge(
  candidate: Unjudged,
  session: RewardSession | null,
  signal: AbortSignal,
): Promise<ScoredCandidate> {
  if (session === null) return { ...candidate, reward: null, rewardProblem: null };
  const isFinished = candidate.finishReason === "stop";
  return { ...candidate, ...(await judgeText(session, candidate.text, { isFinished, signal })) };
}

type Verdict = Pick<ScoredCandidate, "reward" | "rewardProblem" | "rewardParts">;

/**
 * What a session says of a text, or why it says nothing; only abort and our own bugs reject.
 * @param isFinished whether the text is a whole answer.
 */
export async function judgeText(
  session: RewardSession,
  text: string,
  { isFinished, signal }: { isFinished: boolean; signal: AbortSignal },
): Promise<Verdict> {
  try {
    const { reward, parts } = await judgementOf(session, text, { isFinished });
    const rewardParts = Object.keys(parts).length > 0 && { rewardParts: parts };
    if (Number.isFinite(reward)) return { reward, rewardProblem: null, ...rewardParts };
    return { reward: null, rewardProblem: `the reward gave ${reward}`, ...rewardParts };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InvariantError) throw error;
    const rewardProblem = error instanceof Error ? error.message : String(error);
    return { reward: null, rewardProblem };
  }
}
