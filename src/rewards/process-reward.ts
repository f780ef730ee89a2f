/**
 * A process reward model's judgement of each step of an answer: the probability that it is right, given the
 * question and the steps before it. Either a class of its token classifier (softmax over all, logistic when it
 * has one), or the first of two tokens that a language model may say after the step (softmax over the two).
 * Sources: Lightman et al., arXiv:2305.20050; Wang et al. (Math-Shepherd), arXiv:2312.08935.
 */
import type { Scorer, ScoringSession } from "../engine/types.ts";
import type { TemplateMessage } from "../text/chat-template.ts";
import type { ProcessReward, StepRule } from "./define.ts";
import { refuseTooLong, startsWith } from "./reward-model.ts";
import type { MarkedTokens } from "./step-layouts.ts";

export interface ProcessRewardParts {
  readonly id: string;
  /** Says how the model is asked: another way is another reward. */
  readonly variant: string;
  readonly scorer: Scorer;
  readonly steps: StepRule;
  readonly layout: (messages: readonly TemplateMessage[], steps: readonly string[]) => MarkedTokens;
  /** Which of the scorer's labels says that a step is right. */
  readonly label: number;
  /** Soft cap of the scores, where the model's logits have one. */
  readonly softcap?: number | null;
}

export function createProcessReward(parts: ProcessRewardParts): ProcessReward {
  const { id, variant, scorer, steps: rule, layout, label, softcap = null } = parts;
  return {
    id,
    revision: `${scorer.revision}:${variant}`,
    acceptsPrefixes: true,
    steps: rule,
    open({ messages }, signal) {
      const prefix = commonStart(layout(messages, ["0"]).ids, layout(messages, ["x"]).ids);
      const session = prefix.length > 0 ? scorer.open(prefix, signal) : null;
      const scoreSteps = async (text: string) => {
        const steps = rule.split(text);
        if (steps.length === 0) return { steps: [], reward: Number.NaN };
        const { ids, at } = layout(messages, steps);
        refuseTooLong(id, ids.length, scorer.contextTokens);
        const read = { ids: ids.slice(0, at.at(-1)! + 1), at }; // nothing after it reaches a score
        const isShared =
          session !== null && startsWith(read.ids, prefix) && at[0]! >= prefix.length;
        const raw = isShared
          ? await session.scores(...after(read, prefix.length))
          : await scoreApart(scorer, read, signal);
        const scores = raw.map((row) => probability(row, label, softcap));
        return {
          steps: steps.map((step, i) => ({ text: step, score: scores[i]! })),
          reward: rule.aggregate(scores),
        };
      };
      return {
        scoreSteps,
        score: async (text) => (await scoreSteps(text)).reward,
        close: () => session?.close(),
      };
    },
  };
}

/** softmax(scores)[label]; of one score alone, its logistic. */
function probability(scores: Float32Array, label: number, softcap: number | null): number {
  const capped = Array.from(scores, (x) =>
    softcap === null ? x : softcap * Math.tanh(x / softcap),
  );
  if (capped.length === 1) return 1 / (1 + Math.exp(-capped[0]!));
  return 1 / capped.reduce((sum, x) => sum + Math.exp(x - capped[label]!), 0);
}

/** The arguments of `ScoringSession.scores` after so many tokens. */
function after({ ids, at }: MarkedTokens, start: number): Parameters<ScoringSession["scores"]> {
  return [ids.slice(start), at.map((i) => i - start)];
}

/** Where nothing can be shared: a text whose first characters merge with the question's last ones. */
async function scoreApart(scorer: Scorer, marked: MarkedTokens, signal: AbortSignal) {
  const start = Math.max(1, marked.at[0]!); // a prompt has a token at least
  const session = scorer.open(marked.ids.slice(0, start), signal);
  try {
    return await session.scores(...after(marked, start));
  } finally {
    session.close();
  }
}

function commonStart(a: readonly number[], b: readonly number[]): readonly number[] {
  const end = a.findIndex((id, i) => id !== b[i]);
  return end < 0 ? a : a.slice(0, end);
}
