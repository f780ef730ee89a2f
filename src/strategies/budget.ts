/**
 * What a search may spend, and what it has spent: tokens drawn, rewards asked for, time. Tokens and rewards are never
 * overspent: what draws asks before every token, and where none is left the answer ends. A model that only reads (a
 * reference's log-probabilities, an implicit reward) draws nothing; what that costs, `Work` and the clock say.
 */
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import type { Candidate, GenerateControl, Policy, TextSampling } from "../registry/types.ts";
import {
  type ComparisonSession,
  type GuideOptions,
  judgementOf,
  type NoGuide,
  type ProcessRewardSession,
  type Reward,
  type RewardGuide,
  type RewardSession,
  type ScoreOptions,
} from "../rewards/define.ts";

/** null: as much as it takes. */
export interface BudgetLimits {
  /** Completion tokens of all candidates. */
  readonly tokens: number | null;
  readonly rewardCalls: number | null;
  readonly ms: number | null;
}

export const unlimited: BudgetLimits = { tokens: null, rewardCalls: null, ms: null };

/** As a request or a preset says it. */
export interface AskedBudget {
  readonly tokens?: number;
  readonly reward_calls?: number;
  readonly ms?: number;
}

export const limitsOf = ({ tokens, reward_calls, ms }: AskedBudget): BudgetLimits => ({
  tokens: tokens ?? null,
  rewardCalls: reward_calls ?? null,
  ms: ms ?? null,
});

export type BudgetPart = "tokens" | "reward_calls" | "ms";

export interface Overshoot {
  readonly tokens: number;
  readonly rewardCalls: number;
  readonly ms: number;
}

export class Budget {
  tokens = 0;
  /** Judgements asked for; a reward made of others asks for each of theirs. */
  rewardCalls = 0;
  /** Tokens that models wrote in order to judge, as far as they say; `tokens` has none of them. */
  rewardTokens = 0;
  /** Tokens that answers in the making have been promised. */
  #reserved = 0;
  /** What was asked for and not to be had. */
  readonly #missing = new Set<BudgetPart>();
  readonly #limits: BudgetLimits;
  readonly #clock: Clock;
  readonly #startedMs: number;

  /** @param startedMs of the clock, from when time counts. */
  constructor(limits: BudgetLimits, clock: Clock, startedMs = clock.elapsedMs()) {
    this.#limits = limits;
    this.#clock = clock;
    this.#startedMs = startedMs;
  }

  get ms(): number {
    return this.#clock.elapsedMs() - this.#startedMs;
  }

  /** What does not suffice for more tokens: the search ends with the best so far. */
  get spent(): BudgetPart | null {
    const { tokens } = this.#limits;
    if (this.#missing.has("tokens") || (tokens !== null && this.tokens >= tokens)) return "tokens";
    if (this.#isLate) return "ms";
    return this.#missing.has("reward_calls") || this.rewardsLeft <= 0 ? "reward_calls" : null;
  }

  /** Before an answer's next token is drawn: the part that does not suffice for it, or null, and then it is counted. */
  draw(): BudgetPart | null {
    if (!this.#reserve()) return "tokens";
    this.#drew();
    return null;
  }

  /** For a search that has no answer yet. */
  refusal(part: BudgetPart): GatewayError {
    const { tokens, rewardCalls, ms } = this.#limits;
    const limit = { tokens, reward_calls: rewardCalls, ms }[part] ?? 0;
    return new GatewayError("budget_spent", { part, limit });
  }

  /** What was spent beyond it; 0 where there is no limit. */
  get overshoot(): Overshoot {
    const { tokens, rewardCalls, ms } = this.#limits;
    const beyond = (spent: number, limit: number | null) =>
      limit === null ? 0 : Math.max(0, spent - limit);
    return {
      tokens: beyond(this.tokens, tokens),
      rewardCalls: beyond(this.rewardCalls, rewardCalls),
      ms: ms === null ? 0 : beyond(this.ms, ms),
    };
  }

  get rewardsLeft(): number {
    return (this.#limits.rewardCalls ?? Number.POSITIVE_INFINITY) - this.rewardCalls;
  }

  /**
   * The policy, whose tokens are counted; what it draws ends where the budget does. Each candidate has its next token
   * promised before a step; one whose first cannot be is empty. Who grows a sequence counts the tokens of the answer by
   * `draw`: two policies may grow the same one.
   */
  policy(policy: Policy): Policy {
    return {
      ...policy,
      generate: async (prompt, n, sampling, control) => {
        const { after = [] } = control;
        const promised = new Set<number>();
        const promise = (index: number) => {
          if (!this.#reserve()) return false;
          promised.add(index);
          return true;
        };
        const started = Array.from({ length: n }, (_, i) => i).filter(promise).length;
        const isEnough: GenerateControl["isEnough"] = (index, answer) => {
          promised.delete(index);
          this.#drew();
          if (control.isEnough?.(index, answer) || this.#isLate) return true;
          const { tokens } = answer;
          const isLast = tokens.length - after.length >= sampling.maxTokens;
          return !(isLast || policy.endTokens.has(tokens.at(-1)!.id) || promise(index));
        };
        try {
          const drawn =
            started > 0
              ? await policy.generate(prompt, started, sampling, { ...control, isEnough })
              : [];
          const rest = Array.from({ length: n - started }, (_, i) =>
            unstarted(policy, started + i, { sampling, control }),
          );
          return [...drawn, ...rest];
        } finally {
          this.#reserved -= promised.size; // of answers that a stop string ended, or that failed
        }
      },
    };
  }

  /** The reward, whose calls are counted, and refused where too few are left. */
  reward<R extends Reward>(reward: R): R {
    const { calls = 1 } = reward;
    const counting = (how: ScoreOptions = {}): ScoreOptions => ({
      ...how,
      onTokens: (tokens) => {
        this.rewardTokens += tokens;
        how.onTokens?.(tokens);
      },
    });
    const open: Reward["open"] = (prompt, signal) => {
      const session = reward.open(prompt, signal);
      const ask = <T>(asked: () => Promise<T>) => this.#asked(calls, asked);
      return {
        ...session,
        score: (text, how) => ask(() => session.score(text, counting(how))),
        ...(session.judge && {
          judge: (text, how) => ask(() => judgementOf(session, text, counting(how))),
        }),
        ...(session.guide && { guide: (options) => this.#guide(session, options, calls) }),
        ...(isProcessSession(session) && {
          scoreSteps: (text: string) => ask(() => session.scoreSteps(text)),
        }),
        ...(isComparisonSession(session) && {
          compare: (a: string, b: string, how?: ScoreOptions) =>
            ask(() => session.compare(a, b, counting(how))),
        }),
      } satisfies RewardSession;
    };
    return { ...reward, open };
  }

  /** Each alternative is judged. */
  async #guide(
    session: RewardSession,
    options: GuideOptions,
    calls: number,
  ): Promise<RewardGuide | NoGuide> {
    const guide = await session.guide!(options);
    if ("problem" in guide) return guide;
    return { ...guide, branch: (ids) => this.#asked(calls * ids.length, () => guide.branch(ids)) };
  }

  get #isLate(): boolean {
    const { ms } = this.#limits;
    return ms !== null && this.ms >= ms;
  }

  /** Promises a token, unless all are drawn or promised. */
  #reserve(): boolean {
    const { tokens } = this.#limits;
    const isLeft = tokens === null || this.tokens + this.#reserved < tokens;
    if (isLeft) this.#reserved += 1;
    else this.#missing.add("tokens");
    return isLeft;
  }

  #drew(): void {
    this.#reserved -= 1;
    this.tokens += 1;
  }

  async #asked<T>(calls: number, ask: () => Promise<T>): Promise<T> {
    if (this.rewardsLeft < calls) {
      this.#missing.add("reward_calls");
      throw this.refusal("reward_calls");
    }
    this.rewardCalls += calls;
    return ask();
  }
}

const isProcessSession = (session: RewardSession): session is ProcessRewardSession =>
  "scoreSteps" in session;

const isComparisonSession = (session: RewardSession): session is ComparisonSession =>
  "compare" in session;

/** A candidate that may draw nothing: what it continues, or empty. */
function unstarted(
  policy: Policy,
  index: number,
  { sampling, control }: { readonly sampling: TextSampling; readonly control: GenerateControl },
): Candidate {
  const transcriber = policy.transcribe(sampling.stop, () => undefined);
  for (const token of control.after ?? []) transcriber.push(token);
  const candidate = transcriber.finish(index, "length");
  control.onCandidate?.(candidate);
  return candidate;
}
