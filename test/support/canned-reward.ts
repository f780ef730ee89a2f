/** A reward that is a function of the text, and remembers what was asked of it. */
import type { ProcessReward, Reward, RewardFlag, RewardPrompt } from "../../src/rewards/define.ts";
import { type AggregateName, createStepRule } from "../../src/rewards/step-rule.ts";

export interface CannedReward extends Reward {
  readonly texts: readonly string[];
  readonly prompts: readonly RewardPrompt[];
  /** Sessions opened and not yet closed. */
  openSessions(): number;
}

/** @param score may throw or reject, as a failing source does. */
export function cannedReward(
  score: (text: string, signal: AbortSignal) => number | Promise<number>,
  id = "canned",
): CannedReward {
  const texts: string[] = [];
  const prompts: RewardPrompt[] = [];
  let open = 0;
  return {
    id,
    revision: `${id}-1`,
    acceptsPrefixes: true,
    texts,
    prompts,
    openSessions: () => open,
    open(prompt, signal) {
      prompts.push(prompt);
      open++;
      let isOpen = true;
      return {
        async score(text) {
          texts.push(text);
          return score(text, signal);
        },
        close() {
          if (isOpen) open--;
          isOpen = false;
        },
      };
    },
  };
}

/** One that says how some of its rewards came about. */
export function flaggedReward(
  score: (text: string) => number,
  flagOf: (text: string) => RewardFlag | null,
  id = "canned",
): Reward {
  const plain = cannedReward(score, id);
  return {
    ...plain,
    open(prompt, signal) {
      const session = plain.open(prompt, signal);
      return {
        ...session,
        score(text, { onFlag } = {}) {
          const flag = flagOf(text);
          if (flag !== null) {
            onFlag?.(flag);
            onFlag?.(flag); // a word may come more than once
          }
          return session.score(text);
        },
      };
    },
  };
}

/** One whose steps are lines unless said otherwise, and whose reward is the worst of them. */
export function cannedProcessReward(
  score: (step: string) => number,
  id = "canned",
  rule: { readonly separator?: string; readonly aggregate?: AggregateName } = {},
): ProcessReward & CannedReward {
  const steps = createStepRule({ separator: "\n", trims: false, aggregate: "min", ...rule });
  const whole = cannedReward((text) => steps.aggregate(steps.split(text).map(score)), id);
  return {
    ...whole,
    steps,
    open(prompt, signal) {
      const session = whole.open(prompt, signal);
      return {
        ...session,
        async scoreSteps(text) {
          const judged = steps.split(text).map((step) => ({ text: step, score: score(step) }));
          return { steps: judged, reward: await session.score(text) };
        },
      };
    },
  };
}
