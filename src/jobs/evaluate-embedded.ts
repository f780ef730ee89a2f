/**
 * Measures the embedded models on held-out prompts of their corpus, where a gold reward is computable:
 * the numbers of their model card. Every prompt gets n samples at temperature 1, as the server draws them.
 */
import { bootstrapInterval, type Interval, meanOf, wilsonInterval } from "../base/statistics.ts";
import {
  type CorpusPrompt,
  type Domain,
  goldReward,
  heldoutPairs,
  prompts,
} from "../corpus/index.ts";
import type { Candidate, Policy } from "../registry/types.ts";
import { spreadOf } from "../rewards/curves.ts";
import type { Reward } from "../rewards/define.ts";
import { ANSWER_TOKENS_MAX, inTurns, take } from "./in-turns.ts";

export interface EvaluationOptions {
  readonly policy: Policy;
  readonly reward: Reward;
  /** Held-out prompts of each domain. */
  readonly promptsPerDomain: number;
  /** Candidates of a prompt. */
  readonly n: number;
  readonly pairs: number;
  readonly seed: number;
  readonly onProgress: (done: number, total: number) => void;
}

/** Intervals are 95 %: by resampling prompts, and Wilson's for the pair accuracy. */
export interface EmbeddedEvaluation {
  readonly promptsPerDomain: number;
  readonly n: number;
  readonly pairs: number;
  readonly pairAccuracy: Interval;
  readonly arithmetic: {
    /** Share of right answers: of a single sample, of the one the reward prefers, and the gain in points. */
    readonly passAt1: Interval;
    readonly bestOfN: Interval;
    readonly gain: Interval;
    /** Share of prompts with a right sample among the n: what no reward can exceed. */
    readonly oracle: Interval;
  };
  readonly support: {
    readonly single: Interval;
    readonly bestOfN: Interval;
    /** Standard deviation of a single sample's gold reward, over all prompts and samples. */
    readonly deviation: number;
    /** (best of n − single) in units of that deviation. */
    readonly gainInDeviations: Interval;
    readonly oracle: Interval;
  };
}

/** One prompt's samples, judged by gold and by the reward model. */
interface Judged {
  readonly gold: readonly number[];
  readonly isRight: readonly boolean[];
  /** Index of the sample the reward model prefers. */
  readonly best: number;
}

export async function evaluateEmbedded(options: EvaluationOptions): Promise<EmbeddedEvaluation> {
  const { promptsPerDomain, n, pairs } = options;
  const total = 2 * promptsPerDomain + pairs;
  let done = 0;
  const tick = () => options.onProgress(++done, total);
  const judgedOf = (domain: Domain) =>
    inTurns(
      take(prompts(domain, "heldout", options.seed), promptsPerDomain),
      async (prompt, index) => {
        const judged = await judge(options, prompt, options.seed + index);
        tick();
        return judged;
      },
    );
  const arithmetic = await judgedOf("arithmetic");
  const support = await judgedOf("support");
  const rightPairs = await countRightPairs(options, tick);
  return {
    promptsPerDomain,
    n,
    pairs,
    pairAccuracy: wilsonInterval(rightPairs, pairs),
    arithmetic: arithmeticMeasures(arithmetic),
    support: supportMeasures(support),
  };
}

async function judge(
  { policy, reward, n }: EvaluationOptions,
  prompt: CorpusPrompt,
  seed: number,
): Promise<Judged> {
  const { signal } = new AbortController();
  const tokens = policy.encode({ kind: "chat", messages: prompt.messages });
  const sampling = { ...policy.defaults, temperature: 1, maxTokens: ANSWER_TOKENS_MAX, seed };
  const candidates: Candidate[] = await policy.generate(tokens, n, sampling, { signal });
  const session = reward.open({ messages: prompt.messages }, signal);
  const rewards = await Promise.all(candidates.map(({ text }) => session.score(text)));
  session.close();
  const golds = candidates.map(({ text }) => goldReward(prompt, text));
  return {
    gold: golds.map(({ total }) => total),
    isRight: golds.map(({ correct }) => correct),
    best: rewards.indexOf(Math.max(...rewards)),
  };
}

async function countRightPairs(
  { reward, pairs, seed }: EvaluationOptions,
  tick: () => void,
): Promise<number> {
  const { signal } = new AbortController();
  const isRight = await inTurns(
    take(heldoutPairs(seed), pairs),
    async ({ prompt, chosen, rejected }) => {
      const session = reward.open({ messages: prompt.messages }, signal);
      const [better, worse] = await Promise.all([session.score(chosen), session.score(rejected)]);
      session.close();
      tick();
      return better! > worse!;
    },
  );
  return isRight.filter(Boolean).length;
}

function arithmeticMeasures(judged: readonly Judged[]): EmbeddedEvaluation["arithmetic"] {
  const single = judged.map(({ isRight }) => meanOf(isRight.map(Number)));
  const best = judged.map(({ isRight, best }) => Number(isRight[best]));
  return {
    passAt1: measured(single),
    bestOfN: measured(best),
    gain: measured(best.map((value, i) => value - single[i]!)),
    oracle: measured(judged.map(({ isRight }) => Number(isRight.some(Boolean)))),
  };
}

function supportMeasures(judged: readonly Judged[]): EmbeddedEvaluation["support"] {
  const single = judged.map(({ gold }) => meanOf(gold));
  const best = judged.map(({ gold, best }) => gold[best]!);
  const deviation = spreadOf(judged.flatMap(({ gold }) => gold)).scale;
  return {
    single: measured(single),
    bestOfN: measured(best),
    deviation,
    gainInDeviations: measured(best.map((value, i) => (value - single[i]!) / deviation)),
    oracle: measured(judged.map(({ gold }) => Math.max(...gold))),
  };
}

/** The mean over prompts. */
function measured(values: readonly number[]): Interval {
  return bootstrapInterval(values, { seed: 1 });
}
