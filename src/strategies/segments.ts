/**
 * What searches over segments share: answers that grow piece by piece, branch, are judged unfinished and given up.
 * An answer in the making is a `Branch`; the ends of all branches are the search's candidates, so what was drawn and
 * dropped is logged too. The first continuation of a branch goes on under its candidate's index, the others get new ones.
 * The randomness of a branch follows from its path alone: neither timing nor what happens to others changes it.
 * A branch's text is what of it is final: no half of a character, nothing that may yet become a stop string.
 */
import { eventStream } from "../base/event-stream.ts";
import { splitSeed } from "../base/random.ts";
import type { FinishReason, SampledToken } from "../engine/types.ts";
import type { Candidate, Policy, TextSampling } from "../registry/types.ts";
import {
  type Judgement,
  judgementOf,
  type RewardFlag,
  type RewardSession,
  type StepRule,
} from "../rewards/define.ts";
import type { CutReason, ScoredCandidate, StrategyEvent, StrategyInput } from "./define.ts";
import { allFailed } from "./demands.ts";
import { verdictOf } from "./draw.ts";

export interface Branch {
  /** Of the candidate that it is the end of; null at the root, which is none. */
  readonly index: number | null;
  readonly tokens: readonly SampledToken[];
  readonly text: string;
  /** Why nothing can follow; null: it can be continued. */
  readonly end: FinishReason | null;
  /** Of `text`; null when it was not judged. */
  readonly reward: number | null;
  readonly rewardProblem: string | null;
  readonly rewardParts?: Readonly<Record<string, number>>;
  readonly rewardFlags?: readonly RewardFlag[];
  /** What the search compares; the reward unless it says otherwise. Null: unjudged, behind all others. */
  readonly value: number | null;
  readonly seed: number;
}

/** What a source says of a branch. */
export type Ask = (branch: Branch) => Promise<Judgement>;

/** The reward of a branch's text, which is an unfinished answer unless the model ended it. */
export const asking =
  (session: RewardSession): Ask =>
  ({ text, end }) =>
    judgementOf(session, text, { isFinished: end === "stop" });

/** Where a continuation ends, if the answer does not end before. */
export interface Segment {
  /** Tokens at most; as many as the answer may have when nothing is said. */
  readonly tokensMax?: number;
  /** Ends at the token with whose text a further step is whole; a token may bring the beginning of the next. */
  readonly steps?: StepRule;
  /** Ends before this token, which is forgotten: `drawn` are the segment's tokens before it. It must not depend on which token was drawn. */
  readonly endsBefore?: (token: SampledToken, drawn: number) => boolean;
  readonly sampling?: Partial<TextSampling>;
  /** Who writes it; the request's policy when nothing is said. Its vocabulary is the same. */
  readonly policy?: Policy;
}

export type SegmentsInput = Pick<
  StrategyInput,
  "policy" | "reward" | "prompt" | "rewardPrompt" | "sampling" | "signal" | "budget"
>;

/**
 * Runs a search and tells of it; the reward's session is closed however it ends.
 * @param open the session the search judges with; the reward's own when nothing is said.
 */
export function searchSegments<R, S extends RewardSession | null>(
  input: SegmentsInput,
  open: (signal: AbortSignal) => S,
  search: (segments: Segments, session: S) => Promise<R>,
): AsyncGenerator<StrategyEvent, R, void> {
  return eventStream(input.signal, async (emit, outer) => {
    const failure = new AbortController();
    const signal = AbortSignal.any([outer, failure.signal]);
    signal.throwIfAborted();
    const session = open(signal);
    try {
      return await search(new Segments(input, { emit, signal, failure }), session);
    } finally {
      session?.close();
    }
  });
}

interface SearchControl {
  readonly emit: (event: StrategyEvent) => void;
  readonly signal: AbortSignal;
  readonly failure: AbortController;
}

export class Segments {
  readonly emit: (event: StrategyEvent) => void;
  readonly signal: AbortSignal;
  readonly #failure: AbortController;
  readonly #input: SegmentsInput;
  /** The ends of all branches, at their candidates' indices. */
  readonly #ends: Branch[] = [];
  readonly #settled: (ScoredCandidate | undefined)[] = [];

  constructor(input: SegmentsInput, { emit, signal, failure }: SearchControl) {
    this.#input = input;
    this.emit = emit;
    this.signal = signal;
    this.#failure = failure;
  }

  /** The empty answer of tree `i`; the first one draws what a plain request with that seed would. */
  root(i = 0): Branch {
    const { seed } = this.#input.sampling;
    return {
      index: null,
      tokens: [],
      text: "",
      end: null,
      reward: null,
      rewardProblem: null,
      value: null,
      seed: i === 0 ? seed : splitSeed(seed, -1 - i), // children have the indices from 0
    };
  }

  /** All of what runs side by side: when one fails the others are ended, and all have ended when this does. */
  async all<T>(tasks: readonly Promise<T>[]): Promise<T[]> {
    const watched = tasks.map((task) =>
      task.catch((cause: unknown) => {
        this.#failure.abort(cause);
        throw cause;
      }),
    );
    await Promise.allSettled(watched);
    return Promise.all(watched);
  }

  /** k independent continuations of an unfinished branch, drawn side by side. */
  async extend(from: Branch, k: number, segment: Segment): Promise<Branch[]> {
    const indices = this.#claim(from, k);
    const told = indices.map((index) => (index === from.index ? from.text.length : 0));
    const tell = (i: number, text: string) => {
      if (text.length > told[i]!) {
        this.emit({ type: "candidate-delta", index: indices[i]!, text: text.slice(told[i]) });
      }
      told[i] = text.length;
    };
    for (const i of indices.keys()) tell(i, from.text);
    const drawn = await this.#draw(from, k, segment, tell);
    return drawn.map((branch, i) => {
      const indexed = { ...branch, index: indices[i]! };
      this.#ends[indexed.index] = indexed;
      return indexed;
    });
  }

  /** A continuation that only informs: it is no candidate, and nobody sees it. */
  async probe(from: Branch, segment: Segment): Promise<Branch> {
    const [branch] = await this.#draw(from, 1, segment, () => undefined);
    return branch!;
  }

  /** The branch with its reward, which is also its value. A source that fails leaves it without one. */
  async judge(branch: Branch, ask: Ask): Promise<Branch> {
    if (branch.index !== null && branch.tokens.length === 0) return branch; // the budget left it none
    const { rewardParts: _, rewardFlags: __, ...unjudged } = branch; // a verdict before this one had its own
    const judged = await verdictOf(ask(branch), this.signal);
    return this.replace({ ...unjudged, ...judged, value: judged.reward });
  }

  judgeAll(branches: readonly Branch[], ask: Ask): Promise<Branch[]> {
    return this.all(branches.map((branch) => this.judge(branch, ask)));
  }

  /** The branch as it is from now on. */
  replace(branch: Branch): Branch {
    if (branch.index !== null) this.#ends[branch.index] = branch;
    return branch;
  }

  /** Gives unfinished branches up; finished ones stay what they are. */
  reject(branches: readonly Branch[], reason: CutReason = "rejected"): void {
    for (const branch of branches) {
      if (branch.index !== null) this.#settle(branch, branch.end === null ? reason : null);
    }
  }

  /** How many answers have ended by themselves. */
  get endedCount(): number {
    return this.#ends.filter(({ end }) => end !== null).length;
  }

  /** Ends the search: every branch that nobody gave up ends here. @returns all candidates */
  close(reason: CutReason): ScoredCandidate[] {
    this.reject(this.#ends, reason);
    return this.#ends.map((_, index) => this.#settled[index]!);
  }

  #claim({ index }: Branch, k: number): number[] {
    return Array.from({ length: k }, (_, i) => {
      if (i === 0 && index !== null) return index;
      return this.#ends.push({ ...this.root(), index: this.#ends.length }) - 1;
    });
  }

  async #draw(
    from: Branch,
    k: number,
    { tokensMax = Number.POSITIVE_INFINITY, steps, endsBefore, sampling: own, policy }: Segment,
    tell: (i: number, text: string) => void,
  ): Promise<Branch[]> {
    const { prompt, sampling } = this.#input;
    const writer = policy ?? this.#input.policy;
    const maxTokens = Math.min(tokensMax, sampling.maxTokens - from.tokens.length);
    const isStepWhole = steps === undefined ? () => false : stepWatch(steps, from.text);
    const texts: string[] = Array.from({ length: k }, () => from.text);
    const overshot = new Set<number>();
    const drawn = await writer.generate(
      prompt,
      k,
      { ...sampling, ...own, seed: from.seed, maxTokens },
      {
        signal: this.signal,
        after: from.tokens,
        isEnough: (i, { tokens, text }) => {
          const before = tokens.length - 1 - from.tokens.length;
          if (endsBefore?.(tokens.at(-1)!, before)) {
            overshot.add(i);
            return true;
          }
          texts[i] = text;
          tell(i, text);
          return isStepWhole(text);
        },
      },
    );
    return drawn.map((candidate, i) => {
      const branch = this.#branch(from, {
        candidate,
        text: texts[i]!,
        isOvershot: overshot.has(i),
      });
      tell(i, branch.text);
      return branch;
    });
  }

  #branch(
    from: Branch,
    { candidate, text, isOvershot }: { candidate: Candidate; text: string; isOvershot: boolean },
  ): Branch {
    const { prompt, sampling, policy } = this.#input;
    const { topLogprobs } = sampling; // a segment may have needed more of them than was asked for
    const drawn = candidate.tokens.map((token) =>
      token.top.length > topLogprobs ? { ...token, top: token.top.slice(0, topLogprobs) } : token,
    );
    const tokens = isOvershot ? drawn.slice(0, -1) : drawn;
    const isFull =
      tokens.length >= sampling.maxTokens || prompt.length + tokens.length >= policy.contextTokens;
    const ended = candidate.finishReason === "stop" || isFull ? candidate.finishReason : null;
    const end = isOvershot ? null : ended;
    return {
      ...this.root(),
      tokens,
      text: end === null ? text : candidate.text,
      end,
      seed: splitSeed(from.seed, candidate.index),
    };
  }

  #settle(branch: Branch, cut: CutReason | null): void {
    const { text, tokens, end, reward, rewardProblem, rewardParts, rewardFlags } = branch;
    const index = branch.index!;
    if (this.#settled[index] !== undefined) return;
    const logprob = tokens.reduce((sum, token) => sum + token.logprob, 0);
    const candidate: ScoredCandidate = {
      index,
      text,
      tokens,
      logprob,
      finishReason: end ?? "length",
      reward,
      rewardProblem,
      ...(rewardParts && { rewardParts }),
      ...(rewardFlags && { rewardFlags }),
      cut,
    };
    this.#settled[index] = candidate;
    if (cut !== null) this.emit({ type: "candidate-cut", index, reason: cut });
    this.emit({ type: "candidate-scored", index, reward, candidate });
  }
}

/** Says of a text that grows from another one when a further step of it is whole. */
function stepWatch(rule: StepRule, from: string): (text: string) => boolean {
  const { separator } = rule;
  const before = rule.split(wholeSteps(rule, from)).length;
  const start = Math.max(0, from.length - separator.length + 1);
  return (text) =>
    text.includes(separator, start) && rule.split(wholeSteps(rule, text)).length > before;
}

/** The text up to its last separator: a judge of steps reads nothing of one that has only begun. */
export function wholeSteps({ separator }: StepRule, text: string): string {
  const last = text.lastIndexOf(separator);
  return last < 0 ? "" : text.slice(0, last + separator.length);
}

/** Highest value first; ties: the earlier one. Unjudged ones last. */
export function byValue(branches: readonly Branch[]): Branch[] {
  const rank = ({ value }: Branch) => value ?? Number.NEGATIVE_INFINITY;
  return branches.toSorted((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a)));
}

/**
 * @throws GatewayError all_candidates_failed when no source judged any of the branches, except where the
 *         budget is why: then the search ends with what it has.
 */
export function demandVerdict(branches: readonly Branch[], budget: StrategyInput["budget"]): void {
  if (branches.length === 0 || branches.some(({ value }) => value !== null)) return;
  if (budget.spent === null) throw allFailed(branches);
}

/**
 * The answers of a search over many candidates: finished ones by reward, then those that the budget ended, then the
 * rest; ties: the earliest.
 * @throws GatewayError all_candidates_failed
 */
export function answersOf(
  candidates: readonly ScoredCandidate[],
  choices: number,
  budget: StrategyInput["budget"],
): number[] {
  if (candidates.every(({ reward }) => reward === null) && budget.spent === null) {
    throw allFailed(candidates);
  }
  const rank = ({ reward, cut }: ScoredCandidate) => {
    if (cut !== null && cut !== "budget") return 0;
    if (cut === "budget") return 1;
    return reward === null ? 1 : 2;
  };
  const value = ({ reward }: ScoredCandidate) => reward ?? -Number.MAX_VALUE;
  return candidates
    .toSorted((a, b) => rank(b) - rank(a) || value(b) - value(a))
    .slice(0, choices)
    .map(({ index }) => index);
}

/** The answers' whole texts, for searches that cannot say them before they end. */
export function* sayAnswers(
  candidates: readonly ScoredCandidate[],
  chosen: readonly number[],
): Generator<StrategyEvent> {
  for (const [choice, index] of chosen.entries()) {
    const { text, tokens } = candidates[index]!;
    yield { type: "text-delta", choice, text, tokens, candidate: index };
  }
}
