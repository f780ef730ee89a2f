/** Draws candidates in waves, so that a search can stop when it has enough. */
import { splitSeed } from "../base/random.ts";
import type { ScoredCandidate, StrategyInput } from "./define.ts";
import { type DrawControl, drawAndScore } from "./draw.ts";
import type { Emit } from "./search.ts";

export interface WaveControl extends Pick<DrawControl, "cut" | "onJudged"> {
  /** Candidates at most. */
  readonly n: number;
  /** Size of a wave. */
  readonly wave: number;
  /** Size of the first wave; at least the choices, so that there is an answer for each. */
  readonly first?: number;
  readonly emit: Emit;
  /** Asked after every wave but the last. */
  readonly isEnough: (candidates: readonly ScoredCandidate[]) => boolean;
}

/**
 * Another wave is drawn until it is enough, n were drawn or the budget is spent. The first wave has the request's
 * own seed, so that its candidates are those of best-of-n; every other has its own.
 * @returns in order of index.
 */
export async function drawInWaves(
  input: StrategyInput,
  { n, wave, first = wave, isEnough, emit, ...control }: WaveControl,
): Promise<ScoredCandidate[]> {
  const { reward, rewardPrompt, sampling, signal, budget, choices } = input;
  signal.throwIfAborted();
  const session = reward?.open(rewardPrompt, signal) ?? null;
  const drawn: ScoredCandidate[] = [];
  const isOver = () => drawn.length >= n || budget.spent !== null || isEnough(drawn);
  try {
    for (let k = 0; k === 0 || !isOver(); k++) {
      const size = k === 0 ? Math.max(first, choices) : wave;
      const seed = k === 0 ? sampling.seed : splitSeed(sampling.seed, k);
      const from = drawn.length;
      const more = await drawAndScore(
        { ...input, sampling: { ...sampling, seed } },
        Math.min(size, n - from),
        {
          ...control,
          signal,
          emit,
          session,
          from,
          onText: (index, text) => emit({ type: "candidate-delta", index, text }),
        },
      );
      drawn.push(...more);
    }
    return drawn;
  } finally {
    session?.close();
  }
}
