/**
 * Prefix fidelity of a reward: whether its numbers for unfinished answers say which finished one will be good, which is
 * what a search that guides or cuts by prefixes relies on. For each held-out prompt n answers are drawn, each is cut at
 * shares of its tokens, and what the reward says of the cuts is compared with what it says of the whole answers.
 * Only order within a prompt counts: a search compares nothing else.
 */
import { splitSeed } from "../base/random.ts";
import { bootstrapInterval, type Interval, rankCorrelation } from "../base/statistics.ts";
import { type CorpusPrompt, type Domain, prompts } from "../corpus/index.ts";
import type { Candidate, Policy } from "../registry/types.ts";
import type { Reward } from "../rewards/define.ts";

export interface PrefixEvaluationOptions {
  readonly policy: Policy;
  readonly reward: Reward;
  /** Held-out prompts of each domain. */
  readonly promptsPerDomain: number;
  /** Candidates of a prompt, 2 or more. */
  readonly n: number;
  readonly seed: number;
  readonly onProgress: (done: number, total: number) => void;
}

/** Of each answer's tokens. */
export const SHARES = [0.25, 0.5, 0.75] as const;
const domains: readonly Domain[] = ["arithmetic", "support"];
const MAX_TOKENS = 160;
const PROMPTS_AT_ONCE = 8;

export interface PrefixEvaluation {
  readonly policy: string;
  readonly reward: string;
  readonly promptsPerDomain: number;
  readonly n: number;
  readonly rows: readonly PrefixRow[];
}

/** Means over prompts; intervals are 95 %, by resampling prompts. */
export interface PrefixRow {
  readonly domain: Domain;
  readonly share: number;
  /** Null: no prompt says anything. */
  readonly fidelity: PrefixFidelity | null;
  /** Prompts that say nothing, since whole answers, or all prefixes, have one reward; they are left out. */
  readonly promptsWithoutOrder: number;
}

export interface PrefixFidelity {
  /** Spearman's, of prefix and whole answer. */
  readonly correlation: Interval;
  /** How often the best prefix becomes the best answer; ties are broken by chance. */
  readonly agreement: Interval;
  /** The same for a prefix chosen blindly: 1/n, and more where several answers are best. */
  readonly chance: Interval;
}

/** One prompt's rewards. */
interface Judged {
  /** [n] */
  readonly whole: readonly number[];
  /** [shares][n] */
  readonly prefixes: readonly (readonly number[])[];
}

export async function evaluatePrefix(options: PrefixEvaluationOptions): Promise<PrefixEvaluation> {
  const { policy, reward, promptsPerDomain, n, seed } = options;
  const total = domains.length * promptsPerDomain;
  const rows: PrefixRow[] = [];
  let done = 0;
  for (const domain of domains) {
    const source = prompts(domain, "heldout", seed);
    const asked = Array.from({ length: promptsPerDomain }, () => source.next().value);
    const judged = await inTurns(asked, async (prompt, index) => {
      const one = await judge(options, prompt, splitSeed(seed, index) >>> 0);
      options.onProgress(++done, total);
      return one;
    });
    rows.push(...SHARES.map((share, at) => rowOf(judged, { domain, share, at })));
  }
  return { policy: policy.id, reward: reward.id, promptsPerDomain, n, rows };
}

async function judge(
  { policy, reward, n }: PrefixEvaluationOptions,
  { messages }: CorpusPrompt,
  seed: number,
): Promise<Judged> {
  const { signal } = new AbortController();
  const prompt = policy.encode({ kind: "chat", messages });
  const sampling = { ...policy.defaults, temperature: 1, maxTokens: MAX_TOKENS, seed };
  const candidates = await policy.generate(prompt, n, sampling, { signal });
  const session = reward.open({ messages }, signal);
  try {
    const scored = (text: string, isFinished: boolean) => session.score(text, isFinished);
    const whole = await Promise.all(
      candidates.map(({ text, finishReason }) => scored(text, finishReason === "stop")),
    );
    const prefixes = await Promise.all(
      SHARES.map((share) =>
        Promise.all(candidates.map((each) => scored(cutAt(policy, each, share), false))),
      ),
    );
    return { whole, prefixes };
  } finally {
    session.close();
  }
}

/** The text of the first tokens, one at least; a character that is cut in two is left out. */
function cutAt(policy: Policy, { tokens }: Candidate, share: number): string {
  const transcript = policy.transcribe([], () => undefined);
  for (const token of tokens.slice(0, Math.max(1, Math.round(share * tokens.length)))) {
    transcript.push(token);
  }
  return transcript.text;
}

function rowOf(
  judged: readonly Judged[],
  { domain, share, at }: { domain: Domain; share: number; at: number },
): PrefixRow {
  const pairs = judged.map(({ whole, prefixes }) => ({ whole, prefix: prefixes[at]! }));
  const ordered = pairs.filter(({ whole, prefix }) => hasOrder(whole) && hasOrder(prefix));
  return {
    domain,
    share,
    fidelity: ordered.length === 0 ? null : fidelityOf(ordered),
    promptsWithoutOrder: pairs.length - ordered.length,
  };
}

interface Pair {
  readonly prefix: readonly number[];
  readonly whole: readonly number[];
}

const hasOrder = (rewards: readonly number[]) =>
  rewards.every((reward) => !Number.isNaN(reward)) && new Set(rewards).size > 1;

/** @param pairs of prompts [1 or more], each with an order on both sides. */
export function fidelityOf(pairs: readonly Pair[]): PrefixFidelity {
  const measured = (of: (pair: Pair) => number) => bootstrapInterval(pairs.map(of), { seed: 1 });
  return {
    correlation: measured(({ prefix, whole }) => rankCorrelation(prefix, whole)),
    agreement: measured(({ prefix, whole }) => {
      const best = bestOf(whole);
      const leading = bestOf(prefix);
      return leading.filter((i) => best.includes(i)).length / leading.length;
    }),
    chance: measured(({ whole }) => bestOf(whole).length / whole.length),
  };
}

/** Indices of the highest, all of them. */
function bestOf(rewards: readonly number[]): number[] {
  const highest = Math.max(...rewards);
  return rewards.flatMap((reward, i) => (reward === highest ? [i] : []));
}

/** In order of the items, a few at a time: enough to fill the engine's batch. */
async function inTurns<T, R>(
  items: readonly T[],
  task: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await task(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: PROMPTS_AT_ONCE }, worker));
  return results;
}
