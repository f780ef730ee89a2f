/**
 * A held-out reward: it judges every candidate that the search did not cut for being worse, and chooses none. Where the
 * search drives its own reward up and this one down, it exploits its reward instead of the answers getting better.
 * It judges beside the search, as candidates are finished; its calls are outside the budget and inside the cost.
 */
import { type Spread, spreadOfValues } from "../base/statistics.ts";
import {
  judgementOf,
  type Reward,
  type RewardPrompt,
  type RewardSession,
} from "../rewards/define.ts";
import type { ScoredCandidate } from "../strategies/define.ts";
import { type Verdict, verdictOf } from "../strategies/draw.ts";

export interface HoldoutReport {
  readonly reward: string;
  readonly revision: string;
  /** By candidate: its held-out reward, null where there is none; candidates that were cut are missing. */
  readonly scores: ReadonlyMap<number, number | null>;
  /** Over the candidates that it judged; null: it judged none. */
  readonly spread: Spread | null;
  /** Of the first choice; null: it was not judged. */
  readonly chosen: number | null;
  /** Why candidates have none, each reason once. */
  readonly problems: readonly string[];
}

export class Holdout {
  /** Evaluations so far. */
  calls = 0;
  /** Tokens that judges wrote for them, as far as they say. */
  tokens = 0;
  readonly #reward: Reward;
  readonly #prompt: RewardPrompt;
  readonly #leaving = new AbortController();
  readonly #signal: AbortSignal;
  readonly #verdicts = new Map<number, Verdict>();
  readonly #pending: Promise<void>[] = [];
  #session: RewardSession | null = null;

  constructor(reward: Reward, prompt: RewardPrompt, signal: AbortSignal) {
    this.#reward = reward;
    this.#prompt = prompt;
    this.#signal = AbortSignal.any([signal, this.#leaving.signal]);
  }

  /** Has a finished candidate judged; one that fails costs its judgement only. */
  saw({ index, text, tokens, finishReason, cut }: ScoredCandidate): void {
    if ((cut !== null && cut !== "budget") || tokens.length === 0) return;
    const asked = verdictOf(this.#judge(text, finishReason === "stop"), this.#signal).then(
      (verdict) => void this.#verdicts.set(index, verdict),
    );
    asked.catch(() => {}); // NOTE: awaited by `settled`; an earlier rejection must not count as unhandled
    this.#pending.push(asked);
  }

  /** Every candidate seen so far is judged. @throws the signal's reason once it aborts */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /** What is known by now. */
  report(chosen: number | null): HoldoutReport {
    const scores = new Map([...this.#verdicts].map(([index, { reward }]) => [index, reward]));
    const judged = [...scores.values()].filter((score) => score !== null);
    const problems = [...this.#verdicts.values()].flatMap(
      ({ rewardProblem }) => rewardProblem ?? [],
    );
    return {
      reward: this.#reward.id,
      revision: this.#reward.revision,
      scores,
      spread: spreadOfValues(judged),
      chosen: chosen === null ? null : (scores.get(chosen) ?? null),
      problems: [...new Set(problems)],
    };
  }

  /** Ends what is still being judged. Idempotent. */
  close(): void {
    this.#leaving.abort();
    this.#session?.close();
  }

  async #judge(text: string, isFinished: boolean) {
    this.#session ??= this.#reward.open(this.#prompt, this.#signal);
    const { calls = 1 } = this.#reward;
    this.calls += calls;
    const onTokens = (tokens: number) => {
      this.tokens += tokens;
    };
    return judgementOf(this.#session, text, { isFinished, onTokens });
  }
}
