/** What a search may spend, and what it has spent: tokens drawn, rewards asked for, time. */
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import type { GenerateControl, Policy } from "../registry/types.ts";
import {
  judgementOf,
  type ProcessRewardSession,
  type Reward,
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

export type BudgetPart = "tokens" | "reward_calls" | "ms";

export class Budget {
  tokens = 0;
  rewardCalls = 0;
  readonly #limits: BudgetLimits;
  readonly #clock: Clock;
  readonly #startedMs: number;

  constructor(limits: BudgetLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#startedMs = clock.elapsedMs();
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

  get tokensLeft(): number {
    return (this.#limits.tokens ?? Number.POSITIVE_INFINITY) - this.tokens;
  }

  get rewardsLeft(): number {
    return (this.#limits.rewardCalls ?? Number.POSITIVE_INFINITY) - this.rewardCalls;
  }

  /** The policy, whose tokens are counted; what it draws ends where the budget does. */
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
      grow: async (prompt, tokensMax, control) => {
        const { growing, next } = await policy.grow(prompt, tokensMax, control);
        const accept = (index: number) => {
          this.tokens += 1;
          return growing.accept(index);
        };
        const counted = {
          get ids() {
            return growing.ids;
          },
          branch: (ids: readonly number[]) => growing.branch(ids),
          accept,
          close: () => growing.close(),
        };
        return { growing: counted, next };
      },
    };
  }

  /** The reward, whose calls are counted, and refused where none is left. */
  reward<R extends Reward>(reward: R): R {
    const open: Reward["open"] = (prompt, signal) => {
      const session = reward.open(prompt, signal);
      const counted: RewardSession = {
        ...session,
        score: (text, how) => this.#asked(() => session.score(text, how)),
        ...(session.judge && {
          judge: (text, how) => this.#asked(() => judgementOf(session, text, how)),
        }),
      };
      if (!isProcessSession(session)) return counted;
      return {
        ...counted,
        scoreSteps: (text: string) => this.#asked(() => session.scoreSteps(text)),
      };
    };
    return { ...reward, open };
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    if (this.rewardsLeft <= 0) {
      throw new GatewayError("budget_spent", { part: "reward_calls", limit: this.rewardCalls });
    }
    this.rewardCalls += 1;
    return ask();
  }
}

const isProcessSession = (session: RewardSession): session is ProcessRewardSession =>
  "scoreSteps" in session;
