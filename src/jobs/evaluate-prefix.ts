/**
 * Prefix fidelity of a reward: whether its numbers for unfinished answers say which finished one will be good, which is
 * what a search that guides or cuts by prefixes relies on. For each held-out prompt n answers are drawn and cut, and what
 * the reward says of the cuts is compared with what it says of the whole answers. Only order within a prompt counts: a
 * search compares nothing else.
 *
 * Cuts are of two kinds. "same": all answers after as many tokens, a share of their median length, as a search sees them,
 * which knows no answer's end; those that have ended by then are whole. "own": each at that share of its own tokens,
 * which compares short answers with long ones at the same place in their course, if they have the same course.
 */
import { splitSeed } from "../base/random.ts";
import { bootstrapInterval, type Interval, rankCorrelation } from "../base/statistics.ts";
import { type CorpusPrompt, type Domain, prompts } from "../corpus/index.ts";
import type { Candidate, Policy } from "../registry/types.ts";
import type { Reward, RewardSession } from "../rewards/define.ts";
import { ANSWER_TOKENS_MAX, inTurns, take } from "./in-turns.ts";

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
const SHARES = [0.25, 0.5, 0.75] as const;
const cutKinds = ["same", "own"] as const;
type CutKind = (typeof cutKinds)[number];
const cuts = cutKinds.flatMap((kind) => SHARES.map((share) => ({ kind, share })));
const domains: readonly Domain[] = ["arithmetic", "support"];

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
  readonly cut: CutKind;
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
  /** [cuts][n] */
  readonly prefixes: readonly (readonly number[])[];
}

export async function evaluatePrefix(options: PrefixEvaluationOptions): Promise<PrefixEvaluation> {
  const { policy, reward, promptsPerDomain, n, seed } = options;
  const total = domains.length * promptsPerDomain;
  const rows: PrefixRow[] = [];
  let done = 0;
  for (const domain of domains) {
    const asked = take(prompts(domain, "heldout", seed), promptsPerDomain);
    const judged = await inTurns(asked, async (prompt, index) => {
      const one = await judge(options, prompt, splitSeed(seed, index) >>> 0);
      options.onProgress(++done, total);
      return one;
    });
    rows.push(
      ...cuts.map(({ kind, share }, at) => ({ domain, cut: kind, share, ...measure(judged, at) })),
    );
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
  const sampling = { ...policy.defaults, temperature: 1, maxTokens: ANSWER_TOKENS_MAX, seed };
  const candidates = await policy.generate(prompt, n, sampling, { signal });
  const session = reward.open({ messages }, signal);
  try {
    const scored = scoring(session);
    const wholeOf = ({ text, finishReason }: Candidate) => scored(text, finishReason === "stop");
    const whole = await Promise.all(candidates.map(wholeOf));
    const lengths = candidates.map(({ tokens }) => tokens.length);
    const prefixes = await Promise.all(
      cuts.map(({ kind, share }) =>
        Promise.all(
          candidates.map((each) => {
            const of = kind === "own" ? each.tokens.length : medianOf(lengths);
            const kept = Math.max(1, Math.round(share * of));
            return kind === "own" || kept < each.tokens.length
              ? scored(textOf(policy, each, kept), false)
              : wholeOf(each);
          }),
        ),
      ),
    );
    return { whole, prefixes };
  } finally {
    session.close();
  }
}

/** What the session says; of one text only once, since sampled answers often are the same. */
function scoring(session: RewardSession) {
  const asked = new Map<string, Promise<number>>();
  return (text: string, isFinished: boolean): Promise<number> => {
    const key = `${isFinished} ${text}`;
    const score = asked.get(key) ?? session.score(text, { isFinished });
    asked.set(key, score);
    return score;
  };
}

/** Of the first tokens; a character that is cut in two is left out. */
function textOf(policy: Policy, { tokens }: Candidate, kept: number): string {
  const transcript = policy.transcribe([], () => undefined);
  for (const token of tokens.slice(0, kept)) transcript.push(token);
  return transcript.text;
}

/** The upper one of an even number. */
const medianOf = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;

function measure(judged: readonly Judged[], at: number) {
  const pairs = judged.map(({ whole, prefixes }) => ({ whole, prefix: prefixes[at]! }));
  const ordered = pairs.filter(({ whole, prefix }) => hasOrder(whole) && hasOrder(prefix));
  return {
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
