/**
 * What a search may spend, and what it has spent: tokens drawn, rewards asked for, time. Tokens and rewards are never
 * overspent: what draws asks before every token, and where none is left the answer ends. A model that only reads (a
 * reference's log-probabilities, an implicit reward) draws nothing; what that costs, `Work` and the clock say.
 */
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import type { Candidate, GenerateControl, Policy, TextSampling } from "../registry/types.ts";
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

export type BudgetPart = "tokens" | "reward_calls" | "ms";

export class Budget {
  tokens = 0;
  rewardCalls = 0;
  /** Tokens that answers in the making have been promised. */
  #reserved = 0;
  /** Whether an answer ended for want of a token. */
  #isShort = false;
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
    if (this.#isShort || (tokens !== null && this.tokens >= tokens)) return "tokens";
    if (this.#isLate) return "ms";
    return this.rewardsLeft > 0 ? null : "reward_calls";
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

  get #isLate(): boolean {
    const { ms } = this.#limits;
    return ms !== null && this.ms >= ms;
  }

  /** Promises a token, unless all are drawn or promised. */
  #reserve(): boolean {
    const { tokens } = this.#limits;
    const isLeft = tokens === null || this.tokens + this.#reserved < tokens;
    if (isLeft) this.#reserved += 1;
    else this.#isShort = true;
    return isLeft;
  }

  #drew(): void {
    this.#reserved -= 1;
    this.tokens += 1;
  }

  async #asked<T>(calls: number, ask: () => Promise<T>): Promise<T> {
    if (this.rewardsLeft < calls) throw this.refusal("reward_calls");
    this.rewardCalls += calls;
    return ask();
  }
}

const isProcessSession = (session: RewardSession): session is ProcessRewardSession =>
  "scoreSteps" in session;

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
