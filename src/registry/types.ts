/** A loaded policy: an engine with its tokenizer and chat template. The text-aware face of `Generator`. */
import type { FinishReason, SampledToken, Sampling } from "../engine/types.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
}

/** What is answered: a conversation, or a bare text to be continued. */
export type Conversation =
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[] }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly tokens: readonly number[] };

/** Sampling with stop strings, which need text. */
export interface TextSampling extends Omit<Sampling, "endTokens"> {
  /** Up to 4 strings; generation ends before the first that appears, which is never shown. */
  readonly stop: readonly string[];
}

export interface TextToken extends SampledToken {
  /** The token's own bytes; a character may span several tokens. */
  readonly bytes: Uint8Array;
}

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
  readonly signal: AbortSignal;
  /** Text that is final for that candidate, as it becomes so, with the tokens drawn since the last call. */
  readonly onText?: (index: number, text: string, tokens: readonly SampledToken[]) => void;
  /** A finished candidate; called once each, in order of finishing. */
  readonly onCandidate?: (candidate: Candidate) => void;
}

export interface Policy {
  /** Public model id, e.g. "tiny-chat". */
  readonly id: string;
  readonly revision: string;
  readonly contextTokens: number;
  /** Unix seconds, for /v1/models. */
  readonly created: number;
  readonly vocabSize: number;
  /** @throws GatewayError prompt_too_long, invalid_request (the template refuses the messages) */
  encode(conversation: Conversation): number[];
  /** The bytes a token stands for, and its text for display. */
  tokenText(id: number): { text: string; bytes: Uint8Array };
  generate(
    prompt: readonly number[],
    n: number,
    sampling: TextSampling,
    control: GenerateControl,
  ): Promise<Candidate[]>;
  /** log π(completion[t] | …) of given tokens. */
  score(
    prompt: readonly number[],
    completion: readonly number[],
    signal: AbortSignal,
  ): Promise<Float32Array>;
}
