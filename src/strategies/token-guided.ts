/**
 * What token-guided strategies share: an answer grows token by token, something else than the policy changes the logits
 * of each next token, and the token is drawn from what comes of it as `sample` draws its own. Bias and penalties come
 * before the change, temperature, top-k, top-p and min-p after it. Every token is final as soon as it is drawn, so the
 * text streams truly; an end token is an alternative like any other.
 * Choices are sequences of their own, choice i drawn from the stream `splitSeed(seed, i)`.
 * KL(answer ‖ policy) is estimated by the sum, along the answer, of the exact KL of each token's law; no bound is known.
 */
import { eventStream } from "../base/event-stream.ts";
import { createRandom, splitSeed } from "../base/random.ts";
import { RowSampler } from "../engine/sampler.ts";
import { Support } from "../engine/support.ts";
import type { FinishReason, Grown } from "../engine/types.ts";
import type { RewardSession } from "../rewards/define.ts";
import type { BudgetPart } from "./budget.ts";
import type { CutReason, ScoredCandidate, StrategyEvent, StrategyInput } from "./define.ts";
import { judge } from "./draw.ts";
import { drawsFromModel, tokenKl } from "./kl.ts";

/** What guides one answer. */
export interface Guidance {
  /** Tokens that it can follow. */
  readonly tokensMax: number;
  /** What a reader of the answer should know of how it was guided; asked for at the end. */
  readonly warnings: readonly string[];
  /**
   * Changes the logits of the next token.
   * @param logits [V] the policy's after bias and penalties; changed in place, −∞ where a token must not be drawn.
   * @param own [V] the policy's own.
   * @returns the part of the budget that does not suffice to do so, or null.
   */
  guide(logits: Float64Array, own: Float32Array): Promise<BudgetPart | null>;
  /** The token that was drawn, of an answer that goes on. */
  accept(id: number): Promise<void>;
  /** Idempotent. */
  close(): void;
}

export interface Steering {
  /** @param session null when the request names no reward. */
  open(session: RewardSession | null, signal: AbortSignal): Promise<Guidance>;
  /** The largest logit wins, whatever the temperature. */
  readonly isGreedy?: boolean;
}

export async function* tokenGuided(
  input: StrategyInput,
  steering: Steering,
): AsyncGenerator<StrategyEvent, void, void> {
  const answers = yield* eventStream<StrategyEvent, Answer[]>(input.signal, (emit, signal) =>
    answerAll(input, steering, { emit, signal }),
  );
  const candidates = answers.map(({ candidate }) => candidate);
  const chosen = candidates.map(({ index }) => index);
  const kl = { bound: null, estimate: answers[0]!.kl };
  const stopped = answers.find((answer) => answer.stopped !== null)?.stopped ?? "complete";
  const warnings = [...new Set(answers.flatMap((answer) => answer.warnings))];
  yield { type: "done", result: { candidates, chosen, kl, stopped, warnings } };
}

interface Answer {
  readonly candidate: ScoredCandidate;
  readonly kl: number | null;
  readonly stopped: BudgetPart | null;
  readonly warnings: readonly string[];
}

interface Run {
  readonly emit: (event: StrategyEvent) => void;
  readonly signal: AbortSignal;
}

/** All choices at once; one that fails ends the others. */
async function answerAll(input: StrategyInput, steering: Steering, run: Run): Promise<Answer[]> {
  run.signal.throwIfAborted();
  const session = input.reward?.open(input.rewardPrompt, run.signal) ?? null;
  const failure = new AbortController();
  const signal = AbortSignal.any([run.signal, failure.signal]);
  const support = new Support();
  const answers = Array.from({ length: input.choices }, async (_, choice) => {
    try {
      return await answerOne(input, steering, { ...run, signal, session, support, choice });
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  });
  try {
    await Promise.allSettled(answers);
    run.signal.throwIfAborted();
    failure.signal.throwIfAborted(); // with what failed first
    return await Promise.all(answers);
  } finally {
    session?.close();
  }
}

interface AnswerRun extends Run {
  readonly choice: number;
  readonly session: RewardSession | null;
  readonly support: Support;
}

async function answerOne(
  input: StrategyInput,
  steering: Steering,
  run: AnswerRun,
): Promise<Answer> {
  const { policy, prompt, sampling } = input;
  const { emit, signal, session, choice } = run;
  const wanted = Math.min(sampling.maxTokens, policy.contextTokens - prompt.length);
  // Its place first: whoever waits for one takes no memory of what guides.
  const grown = await policy.grow(prompt, wanted, { signal });
  let guidance: Guidance | null = null;
  try {
    guidance = await steering.open(session, signal);
    const growth = { ...run, guidance, grown, wanted };
    const { finish, stopped, kl, warnings } = await grow(input, steering, growth);
    grown.growing.close();
    const cut: CutReason | null = stopped === null ? null : "budget";
    if (cut !== null) emit({ type: "candidate-cut", index: choice, reason: cut });
    const candidate = await judge({ ...finish(), cut }, session, signal);
    emit({ type: "candidate-scored", index: choice, reward: candidate.reward, candidate });
    return { candidate, kl, stopped, warnings: [...guidance.warnings, ...warnings] };
  } finally {
    grown.growing.close();
    guidance?.close();
  }
}

interface GrowthRun extends AnswerRun {
  readonly guidance: Guidance;
  readonly grown: Grown;
  /** Tokens, where the guidance can follow. */
  readonly wanted: number;
}

/** Token by token until the answer ends, or is ended. */
async function grow(
  { policy, sampling, budget }: StrategyInput,
  { isGreedy = false }: Steering,
  { emit, signal, support, choice, guidance, grown, wanted }: GrowthRun,
) {
  const law = isGreedy ? { ...sampling, temperature: 0 } : sampling;
  const isKlKnown = drawsFromModel(isGreedy ? { ...sampling, temperature: 1 } : sampling);
  const random = createRandom(splitSeed(sampling.seed, choice));
  const sampler = new RowSampler({ ...law, endTokens: policy.endTokens }, random, support);
  const transcriber = policy.transcribe(sampling.stop, (text, tokens) =>
    emit({ type: "text-delta", choice, text, tokens, candidate: choice }),
  );
  const tokensMax = Math.min(wanted, guidance.tokensMax);
  let reason: FinishReason = "length";
  let stopped: BudgetPart | null = null;
  let kl = 0;
  for (let row = grown.next; ; ) {
    const logits = sampler.adjusted(row.logits);
    stopped = await guidance.guide(logits, row.logits);
    signal.throwIfAborted();
    if (stopped !== null) break;
    const token = sampler.sampleGuided(row, logits);
    budget.drew();
    if (isKlKnown) kl += isGreedy ? -token.logprob : tokenKl(logits, row);
    if (transcriber.push(token)) {
      reason = "stop";
      break;
    }
    if (transcriber.tokens.length >= tokensMax) break;
    stopped = budget.spent;
    if (stopped !== null) break;
    [row] = await Promise.all([grown.growing.append(token.id), guidance.accept(token.id)]);
    signal.throwIfAborted();
  }
  if (stopped !== null && transcriber.tokens.length === 0) throw budget.refusal(stopped);
  const isOutrun = reason === "length" && transcriber.tokens.length === tokensMax;
  const outrun = `The answer ends after ${tokensMax} tokens: what guides it can follow no more.`;
  return {
    finish: () => transcriber.finish(choice, reason),
    stopped,
    kl: isKlKnown ? kl : null,
    warnings: isOutrun && tokensMax < wanted ? [outrun] : [],
  };
}
