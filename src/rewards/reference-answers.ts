/**
 * A policy's own answers to a prompt, with the reward of each: what is usual there, so that a reward can be read
 * against it. Drawn once a prompt, when first needed, always with the same seed: the same prompt has the same sample.
 * Cost: n answers and n evaluations a prompt.
 */
import { Type } from "typebox";
import { splitSeed } from "../base/random.ts";
import type { RewardFlag, RewardPrompt, RewardSession, ScoreOptions, Speaker } from "./define.ts";

export const referenceOptions = Type.Object(
  {
    policy: Type.String({ minLength: 1, description: "id of the policy that answers" }),
    n: Type.Integer({ minimum: 2, maximum: 128, default: 16, description: "answers to draw" }),
    max_tokens: Type.Integer({ minimum: 1, default: 256 }),
    temperature: Type.Number({ minimum: 0, maximum: 2, default: 1 }),
    seed: Type.Integer({ minimum: 0, default: 1 }),
  },
  { additionalProperties: false, description: "answers that the reward is compared with" },
);

export interface ReferenceSettings {
  readonly n: number;
  readonly max_tokens: number;
  readonly temperature: number;
  readonly seed: number;
}

export interface ReferenceAnswer {
  readonly text: string;
  /** Never NaN: an answer without a judgement is left out. */
  readonly reward: number;
}

export interface ReferenceAnswers {
  /**
   * The same ones whenever it is asked. Rejects when the policy or the reward fails, and once stopped.
   * @param how hears how their rewards came about; who asks first, what they cost.
   */
  all(how?: ScoreOptions): Promise<readonly ReferenceAnswer[]>;
  /** Ends what is being drawn. Idempotent. */
  stop(): void;
}

export function referenceAnswers(
  { n, max_tokens: maxTokens, temperature, seed }: ReferenceSettings,
  speaker: Speaker,
  { base, prompt, signal }: { base: RewardSession; prompt: RewardPrompt; signal: AbortSignal },
): ReferenceAnswers {
  const stopping = new AbortController();
  const either = AbortSignal.any([signal, stopping.signal]);
  const flags = new Set<RewardFlag>();
  const onFlag = (flag: RewardFlag) => void flags.add(flag);
  const draw = async (i: number, onTokens: ScoreOptions["onTokens"]): Promise<ReferenceAnswer> => {
    const sampling = { maxTokens, temperature, seed: splitSeed(seed, i) >>> 0 };
    const { text, tokens } = await speaker.answer(prompt.messages, sampling, either);
    onTokens?.(tokens);
    return { text, reward: await base.score(text, { onFlag, onTokens }) };
  };
  let drawn: Promise<readonly ReferenceAnswer[]> | null = null;
  return {
    async all(how) {
      const draws = () => Array.from({ length: n }, (_, i) => draw(i, how?.onTokens));
      drawn ??= Promise.all(draws()).then((answers) =>
        answers.filter(({ reward }) => !Number.isNaN(reward)),
      );
      const answers = await drawn;
      for (const flag of flags) how?.onFlag?.(flag);
      return answers;
    },
    stop: () => stopping.abort(),
  };
}
