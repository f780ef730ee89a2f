/**
 * What the layers above see of the engine: token ids in, token ids out. The engine knows nothing of
 * text; whoever needs text (stop strings, streams) watches the tokens.
 */

/** How the next token is drawn. Applied in this order: bias, penalties, temperature, top-k, top-p, min-p. */
export interface Sampling {
  /** 0 is greedy. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the smallest set of most likely tokens whose probability reaches p; 1 keeps all. */
  readonly topP: number;
  /** Drop tokens less likely than minP times the most likely one; 0 keeps all. */
  readonly minP: number;
  /** OpenAI's: subtracted from a token's logit once per earlier occurrence in the completion. */
  readonly frequencyPenalty: number;
  /** OpenAI's: subtracted once if the token occurs in the completion. */
  readonly presencePenalty: number;
  /** Added to the logits of these ids. −100 and below bans, +100 and above forces. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** Completion tokens at most; cut at the context's end as well. */
  readonly maxTokens: number;
  /** A completion ends when one of these is drawn (it is kept as its last token). */
  readonly endTokens: ReadonlySet<number>;
  /** Candidate i draws from the stream `splitSeed(seed, i)`, whatever else runs. */
  readonly seed: number;
  /** How many alternatives to report for each token, 0…20. */
  readonly topLogprobs: number;
  /** Completion tokens that the prompt ends with already: penalties count them. None when nothing is said. */
  readonly earlier?: readonly number[];
}

export interface TokenLogprob {
  readonly id: number;
  /** Natural log of the model's own probability: before temperature, filters, bias and penalties. */
  readonly logprob: number;
}

export interface SampledToken extends TokenLogprob {
  /** The most likely tokens, most likely first; empty unless asked for. */
  readonly top: readonly TokenLogprob[];
}

export type FinishReason = "stop" | "length";

export interface Completion {
  readonly index: number;
  readonly tokens: readonly SampledToken[];
  readonly finishReason: FinishReason;
}

/** What a request made the model do. Filled while it runs. */
export interface Work {
  /** Prompt tokens whose keys and values an earlier prompt had left. */
  promptTokensFound: number;
  /** Tokens the model ran: of prompt and completions, guesses that were dropped, and those run again after giving way. */
  tokensRun: number;
  /** Its share of the time the model ran, each run divided by tokens. Milliseconds. */
  modelMs: number;
}

export const noWork = (): Work => ({ promptTokensFound: 0, tokensRun: 0, modelMs: 0 });

export interface SampleControl {
  /** To which what it costs is added. */
  readonly work?: Work;
  /** Id of a loaded adapter to run with; the model itself when nothing is said. */
  readonly adapter?: string;
  /** Higher goes first, and may make others wait. 0 when nothing is said. */
  readonly priority?: number;
  /** Of requests of one priority the earlier deadline goes first; any clock, the same for all. */
  readonly deadline?: number;
  /** Aborting frees the sequences before the next step; the promise rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /**
   * Called for every token of every candidate as soon as it is drawn. Returning true ends that
   * candidate here with the reason "stop" (stop strings, for instance).
   */
  readonly onToken?: (index: number, token: SampledToken) => boolean;
  /** Called when a candidate is complete, so that scoring need not wait for the others. */
  readonly onCompletion?: (completion: Completion) => void;
}

/** A sequence whose tokens come from outside, at the head of guided decoding. To be closed. */
export interface Growing {
  /** The prompt's tokens, and those that were appended. */
  readonly ids: readonly number[];
  /**
   * Appends a token, and sits out the steps of others until the next one is appended.
   * @returns the distribution after it, in memory that the next call writes anew.
   */
  append(id: number): Promise<Distribution>;
  /** Gives its memory back. Idempotent. */
  close(): void;
}

/** A sequence of a reward model that grows by choice. To be closed. */
export interface ScoredGrowing {
  /** The prompt's tokens, and those that were accepted. */
  readonly ids: readonly number[];
  /**
   * Judges alternatives for the next token, none of which sees another; nothing is appended.
   * @param tails what is run behind each, for its score alone.
   * @returns [labels] after each alternative, or after its tail.
   */
  branch(
    ids: readonly number[],
    tails?: readonly (readonly number[])[],
  ): Promise<readonly Float32Array[]>;
  /** Appends one of the alternatives of the last `branch`, by its index; it is not run again. */
  accept(index: number): void;
  /** Gives its memory back. Idempotent. */
  close(): void;
}

/** Of the next token. */
export interface Distribution {
  /** [V] */
  readonly logits: Float32Array;
  /** ln Σ exp(logits). */
  readonly logSumExp: number;
}

/** One policy revision behind continuous batching. */
export interface Generator {
  /** Identifies the weights: two generators with the same revision give the same tokens for the same seed. */
  readonly revision: string;
  /** Prompt and completion together. */
  readonly contextTokens: number;
  readonly vocabSize: number;
  /**
   * Draws n completions of one prompt in one batch; the prompt is computed once.
   * @throws GatewayError queue_full when the bounded queue cannot take n more sequences,
   *         prompt_too_long when no token would fit after the prompt.
   */
  sample(
    prompt: readonly number[],
    n: number,
    sampling: Sampling,
    control: SampleControl,
  ): Promise<Completion[]>;
  /** log π(completion[t] | prompt, completion[<t]) for every t, in nats. */
  score(
    prompt: readonly number[],
    completion: readonly number[],
    control: Pick<SampleControl, "signal" | "adapter" | "work">,
  ): Promise<Float32Array>;
  /**
   * A prompt as a sequence whose tokens come from outside, `tokensMax` tokens at most, and the distribution after its
   * last token. It runs in the steps of all others.
   * @throws GatewayError queue_full, prompt_too_long, cache_too_small
   */
  grow(
    prompt: readonly number[],
    tokensMax: number,
    control: Pick<SampleControl, "signal" | "adapter" | "work">,
  ): Promise<Grown>;
}

/** A sequence at its beginning. */
export interface Grown {
  readonly growing: Growing;
  readonly next: Distribution;
}

/** One reward model revision: scores of completions, at their ends or at any of their tokens. */
export interface Scorer {
  readonly revision: string;
  /** Numbers that the model gives for a token. */
  readonly labels: number;
  /** Whether a sequence that grows keeps its keys and values; without them every step reads it anew. */
  readonly growsInPlace: boolean;
  readonly contextTokens: number;
  /**
   * Opens one prompt; its computation is shared by every completion scored on it.
   * @throws GatewayError prompt_too_long
   */
  open(prompt: readonly number[], signal: AbortSignal): ScoringSession;
}

export interface ScoringSession {
  /** A label's score, the first's unless said, at the last token of prompt ++ completion, raw, in the model's own unit. */
  score(completion: readonly number[], label?: number): Promise<number>;
  /**
   * [at][labels]: raw scores at some tokens of the completion, counted from 0. A model that scores whole
   * sequences only has them at the last token only.
   */
  scores(completion: readonly number[], at: readonly number[]): Promise<readonly Float32Array[]>;
  /** The prompt as a sequence that grows, with [labels] after each alternative. */
  grow(): Promise<ScoredGrowing>;
  close(): void;
}
