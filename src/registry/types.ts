/** A loaded policy: an engine with its tokenizer and chat template. The text-aware face of `Generator`. */
import type { FinishReason, Grown, SampledToken, Sampling, Work } from "../engine/types.ts";
import type { TemplateMessage as ChatMessage } from "../text/chat-template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

export type { ChatMessage };

/** What is answered: a conversation, or a bare text to be continued. */
export type Conversation =
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[] }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly tokens: readonly number[] };

/** Sampling with stop strings, which need text. */
export interface TextSampling extends Omit<Sampling, "endTokens" | "earlier"> {
  /** Up to 4 strings; generation ends before the first that appears, which is never shown. */
  readonly stop: readonly string[];
}

/** What a request that says nothing gets: the model's own generation settings. */
export type SamplingDefaults = Omit<TextSampling, "seed" | "maxTokens">;

export interface Candidate {
  readonly index: number;
  /** Final text, stop strings and special tokens removed. */
  readonly text: string;
  readonly tokens: readonly SampledToken[];
  /** Σ log π(token), nats. */
  readonly logprob: number;
  readonly finishReason: FinishReason;
}

export interface GenerateControl {
  /** To which what it costs is added. */
  readonly work?: Work;
  readonly signal: AbortSignal;
  /**
   * Text that is final for that candidate, as it becomes so, with the tokens drawn since the last call;
   * the last call may bring tokens alone. Joined they are the candidate's text and tokens.
   */
  readonly onText?: (index: number, text: string, tokens: readonly SampledToken[]) => void;
  /** A finished candidate; called once each, in order of finishing. */
  readonly onCandidate?: (candidate: Candidate) => void;
  /**
   * An unfinished answer that every candidate continues: its tokens and text are theirs, and `maxTokens` counts what
   * comes after. `onText` tells of new text alone.
   */
  readonly after?: readonly SampledToken[];
  /** Asked after every token; true ends that candidate there, unfinished: its reason is "length". */
  readonly isEnough?: (index: number, answer: Transcribed) => boolean;
}

/** A candidate so far. */
export interface Transcribed {
  readonly tokens: readonly SampledToken[];
  /** What of its text is final. */
  readonly text: string;
}

/** Turns chosen tokens into an answer. */
export interface Transcriber extends Transcribed {
  /** @returns whether the answer ends here: an end token, or a stop string. */
  push(token: SampledToken): boolean;
  finish(index: number, reason: FinishReason): Candidate;
}

export type GrowControl = Pick<GenerateControl, "signal" | "work">;

export interface Policy {
  /** Public model id, e.g. "tiny-chat". */
  readonly id: string;
  readonly revision: string;
  readonly contextTokens: number;
  /** Unix seconds, for /v1/models. */
  readonly created: number;
  readonly vocabSize: number;
  readonly defaults: SamplingDefaults;
  /** For whoever compares vocabularies, or wants the text of tokens that nobody drew. */
  readonly tokenizer: Tokenizer;
  /** Ids that end an answer. */
  readonly endTokens: ReadonlySet<number>;
  /** @throws GatewayError prompt_too_long, invalid_request (the template refuses the messages) */
  encode(conversation: Conversation): number[];
  /** The tokens of an answer as the model would say it, with the end of its turn unless it is unfinished. */
  encodeAnswer(text: string, isFinished: boolean): number[];
  /** The bytes a token stands for, and its text for display. */
  readonly tokenText: (id: number) => { text: string; bytes: Uint8Array };
  generate(
    prompt: readonly number[],
    n: number,
    sampling: TextSampling,
    control: GenerateControl,
  ): Promise<Candidate[]>;
  /** For an answer whose tokens a strategy chooses. */
  transcribe(
    stop: readonly string[],
    onText: (text: string, tokens: readonly SampledToken[]) => void,
  ): Transcriber;
  /** The prompt as a sequence that grows by choice. */
  grow(prompt: readonly number[], tokensMax: number, control: GrowControl): Promise<Grown>;
  /** log π(completion[t] | …) of given tokens. */
  score(
    prompt: readonly number[],
    completion: readonly number[],
    signal: AbortSignal,
  ): Promise<Float32Array>;
}

/** The policy, everything of which is added to what a request cost. */
export function charging(policy: Policy, work: Work): Policy {
  return {
    ...policy,
    generate: (prompt, n, sampling, control) =>
      policy.generate(prompt, n, sampling, { ...control, work }),
    grow: (prompt, tokensMax, control) => policy.grow(prompt, tokensMax, { ...control, work }),
  };
}

/** A model id that stands for a strategy with its options, for clients that can send no extra field. */
export interface Preset {
  readonly id: string;
  /** A policy's id. */
  readonly model: string;
  readonly strategy: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Null = the configured default when the strategy needs one. */
  readonly reward: string | null;
  /** A reward's id: it judges every candidate and chooses none. */
  readonly holdout?: string;
  /** What its search may spend; null: as much as it takes. */
  readonly budget?: {
    readonly tokens: number | null;
    readonly rewardCalls: number | null;
    readonly ms: number | null;
  };
}

export interface ModelCard {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly kind: "policy" | "preset" | "reward";
  /** A preset has its policy's. */
  readonly revision: string;
  readonly contextTokens: number | null;
}
