/** What sampling strategies share: draw candidates in one batch and have each judged when it is complete. */
import { InvariantError } from "../base/assert.ts";
import type { SampledToken } from "../engine/types.ts";
import type { Candidate, Transcribed } from "../registry/types.ts";
import { type Judgement, judgementOf, type RewardSession } from "../rewards/define.ts";
import type {
  CandidateSource,
  CutReason,
  ScoredCandidate,
  StrategyEvent,
  StrategyInput,
} from "./define.ts";

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
  /** Opened already, by whoever closes it; one is opened for these candidates when nothing is said. */
  readonly session?: RewardSession | null;
  /** Noted with each candidate. */
  readonly source?: CandidateSource | undefined;
}

/**
 * Draws n candidates; each is judged as soon as it is complete, while the others still decode, and
 * announced by `candidate-scored`. Without a reward they are announced unjudged.
 * @returns [n] in order of index.
 */
export async function drawAndScore(
  input: Pick<StrategyInput, "policy" | "reward" | "prompt" | "rewardPrompt" | "sampling">,
  n: number,
  { signal, emit, onText, cut, onJudged, from = 0, source, ...control }: DrawControl,
): Promise<ScoredCandidate[]> {
  signal.throwIfAborted();
  const { policy, reward, prompt, rewardPrompt, sampling } = input;
  const { session: given } = control;
  const session = given === undefined ? (reward?.open(rewardPrompt, signal) ?? null) : given;
  const cuts = new Map<number, CutReason>();
  const judged: Promise<ScoredCandidate>[] = [];
  const onCandidate = (drawn: Candidate) => {
    const isWhole = drawn.finishReason === "stop" || drawn.tokens.length >= sampling.maxTokens;
    const reason = cuts.get(drawn.index) ?? (isWhole || !isShort(input, drawn) ? null : "budget");
    const place = { index: from + drawn.index, cut: reason };
    const candidate = { ...drawn, ...place, ...(source && { source }) };
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
    if (given === undefined) session?.close();
  }
}

/** Ended by neither the model nor the context: whoever counts tokens ended it. */
function isShort(
  { policy, prompt }: Pick<StrategyInput, "policy" | "prompt">,
  { tokens }: Candidate,
): boolean {
  return prompt.length + tokens.length < policy.contextTokens;
}

export type Unjudged = Omit<ScoredCandidate, keyof Verdict>;

export async function judge(
  candidate: Unjudged,
  session: RewardSession | null,
  signal: AbortSignal,
): Promise<ScoredCandidate> {
  if (session === null) return { ...candidate, reward: null, rewardProblem: null };
  if (candidate.tokens.length === 0) {
    return { ...candidate, reward: null, rewardProblem: "the budget left it no token" };
  }
  const isFinished = candidate.finishReason === "stop";
  const asked = judgementOf(session, candidate.text, { isFinished });
  return { ...candidate, ...(await verdictOf(asked, signal)) };
}

/** What became of asking for a reward. */
export type Verdict = Pick<
  ScoredCandidate,
  "reward" | "rewardProblem" | "rewardParts" | "rewardFlags"
>;

/** A failing source costs its candidate the reward, not the request; only abort and our own bugs reject. */
export async function verdictOf(asked: Promise<Judgement>, signal: AbortSignal): Promise<Verdict> {
  try {
    const { reward, parts, flags } = await asked;
    return {
      ...numberOf(reward),
      ...(Object.keys(parts).length > 0 && { rewardParts: parts }),
      ...(flags && { rewardFlags: flags }),
    };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof InvariantError) throw error;
    const rewardProblem = error instanceof Error ? error.message : String(error);
    return { reward: null, rewardProblem };
  }
}

export function numberOf(reward: number): Verdict {
  if (Number.isFinite(reward)) return { reward, rewardProblem: null };
  return { reward: null, rewardProblem: `the reward gave ${reward}` };
}
