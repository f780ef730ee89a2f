/** What a search may spend, and what it has spent: tokens drawn, rewards asked for, time. */
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import type { GenerateControl, Policy } from "../registry/types.ts";
import {
  type GuideOptions,
  judgementOf,
  type NoGuide,
  type ProcessRewardSession,
  type Reward,
  type RewardGuide,
  type RewardSession,
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
  rewardCalls = 0;
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
    const { tokens, ms } = this.#limits;
    if (tokens !== null && this.tokens >= tokens) return "tokens";
    if (ms !== null && this.ms >= ms) return "ms";
    return this.rewardsLeft > 0 ? null : "reward_calls";
  }

  /** One more token of an answer. */
  drew(): void {
    this.tokens += 1;
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

  get tokensLeft(): number {
    return (this.#limits.tokens ?? Number.POSITIVE_INFINITY) - this.tokens;
  }

  get rewardsLeft(): number {
    return (this.#limits.rewardCalls ?? Number.POSITIVE_INFINITY) - this.rewardCalls;
  }

  /**
   * The policy, whose tokens are counted; what it draws ends where the budget does. Who grows a sequence counts the
   * tokens of the answer by `drew`: two policies may grow the same one.
   */
  policy(policy: Policy): Policy {
    const isOver = () => this.tokensLeft <= 0 || this.spent === "ms";
    return {
      ...policy,
      generate: (prompt, n, sampling, control) => {
        const isEnough: GenerateControl["isEnough"] = (index, answer) => {
          this.tokens += 1;
          const wanted = control.isEnough?.(index, answer) ?? false;
          return wanted || isOver();
        };
        return policy.generate(prompt, n, sampling, { ...control, isEnough });
      },
    };
  }

  /** The reward, whose calls are counted, and refused where none is left. */
  reward<R extends Reward>(reward: R): R {
    const open: Reward["open"] = (prompt, signal) => {
      const session = reward.open(prompt, signal);
      const counted: RewardSession = {
        ...session,
        score: (text, how) => this.#asked(1, () => session.score(text, how)),
        ...(session.judge && {
          judge: (text, how) => this.#asked(1, () => judgementOf(session, text, how)),
        }),
        ...(session.guide && { guide: (options) => this.#guide(session, options) }),
      };
      if (!isProcessSession(session)) return counted;
      const scoreSteps = (text: string) => this.#asked(1, () => session.scoreSteps(text));
      return { ...counted, scoreSteps };
    };
    return { ...reward, open };
  }

  /** Each alternative is a call. */
  async #guide(session: RewardSession, options: GuideOptions): Promise<RewardGuide | NoGuide> {
    const guide = await session.guide!(options);
    if ("problem" in guide) return guide;
    return { ...guide, branch: (ids) => this.#asked(ids.length, () => guide.branch(ids)) };
  }

  async #asked<T>(calls: number, ask: () => Promise<T>): Promise<T> {
    if (this.rewardsLeft < calls) throw this.refusal("reward_calls");
    this.rewardCalls += calls;
    return ask();
  }
}

const isProcessSession = (session: RewardSession): session is ProcessRewardSession =>
  "scoreSteps" in session;
