/**
 * Over-optimisation: what the reward (the proxy) and the gold reward say of best-of-N as N grows. One draw of many
 * candidates a prompt gives every N at once: the mean over all subsets of size N of the candidate with the highest proxy,
 * exactly and without bias, instead of one subset of each size.
 * Source of the estimate: Nakano et al., arXiv:2112.09332, appendix I; of the curve: Gao et al., arXiv:2210.10760.
 */
import { splitSeed } from "../base/random.ts";
import { bootstrapInterval, type Interval, meanOf } from "../base/statistics.ts";
import { type CorpusPrompt, type Domain, goldReward, prompts } from "../corpus/index.ts";
import type { Candidate, Policy } from "../registry/types.ts";
import type { Reward } from "../rewards/define.ts";
import { expectedOfBest } from "../strategies/improvement.ts";
import { bestOfNBound } from "../strategies/kl.ts";
import { ANSWER_TOKENS_MAX, take } from "./in-turns.ts";

export interface CurveOptions {
  readonly policy: Policy;
  readonly reward: Reward;
  readonly domain: Domain;
  readonly prompts: number;
  /** Candidates of a prompt: the largest N. */
  readonly n: number;
  readonly seed: number;
  readonly onProgress: () => void;
}

/** Means over prompts; intervals are 95 %, by resampling prompts. */
export interface CurvePoint {
  readonly n: number;
  /** The reward of the candidate with the highest. */
  readonly proxy: Interval;
  /** The gold reward of that candidate. */
  readonly gold: Interval;
  readonly accuracy: Interval;
  /** The highest gold reward of N: what no choice among them exceeds. */
  readonly oracle: Interval;
  readonly klBound: number;
  /** Of all N candidates. */
  readonly tokens: number;
}

const DRAWN_AT_ONCE = 64;

/** One prompt's candidates. */
interface Judged {
  readonly proxy: readonly number[];
  readonly gold: readonly number[];
  readonly isRight: readonly number[];
  /** Of a candidate, on average. */
  readonly tokens: number;
}

/** N = 1, 2, 4, … n. */
export async function bestOfNCurve(options: CurveOptions): Promise<CurvePoint[]> {
  const { domain, n, seed } = options;
  const judged: Judged[] = [];
  for (const [i, prompt] of take(prompts(domain, "heldout", seed), options.prompts).entries()) {
    judged.push(await judge(options, prompt, splitSeed(seed, i) >>> 0));
    options.onProgress();
  }
  const sizes = Array.from({ length: Math.floor(Math.log2(n)) + 1 }, (_, i) => 2 ** i);
  return sizes.map((size) => pointOf(size, judged));
}

async function judge(
  { policy, reward, n }: CurveOptions,
  prompt: CorpusPrompt,
  seed: number,
): Promise<Judged> {
  const { signal } = new AbortController();
  const tokens = policy.encode({ kind: "chat", messages: prompt.messages });
  const drawn: Candidate[] = [];
  while (drawn.length < n) {
    const sampling = {
      ...policy.defaults,
      temperature: 1,
      maxTokens: ANSWER_TOKENS_MAX,
      seed: splitSeed(seed, drawn.length) >>> 0,
    };
    const more = Math.min(DRAWN_AT_ONCE, n - drawn.length);
    drawn.push(...(await policy.generate(tokens, more, sampling, { signal })));
  }
  const session = reward.open({ messages: prompt.messages }, signal);
  try {
    const proxy = await Promise.all(
      drawn.map(({ text, finishReason }) =>
        session.score(text, { isFinished: finishReason === "stop" }),
      ),
    );
    const golds = drawn.map(({ text }) => goldReward(prompt, text));
    return {
      proxy,
      gold: golds.map(({ total }) => total),
      isRight: golds.map(({ correct }) => Number(correct)),
      tokens: meanOf(drawn.map((candidate) => candidate.tokens.length)),
    };
  } finally {
    session.close();
  }
}

function pointOf(n: number, judged: readonly Judged[]): CurvePoint {
  const measured = (of: (each: Judged) => number) => bootstrapInterval(judged.map(of), { seed: 1 });
  return {
    n,
    proxy: measured(({ proxy }) => expectedOfBest(proxy, proxy, n)),
    gold: measured(({ proxy, gold }) => expectedOfBest(proxy, gold, n)),
    accuracy: measured(({ proxy, isRight }) => expectedOfBest(proxy, isRight, n)),
    oracle: measured(({ gold }) => expectedOfBest(gold, gold, n)),
    klBound: bestOfNBound(n),
    tokens: n * meanOf(judged.map(({ tokens }) => tokens)),
  };
}
