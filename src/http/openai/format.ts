/** What an answer looks like on the wire: a chat completion or a text completion. */
import { Type } from "typebox";
import type { FinishReason, SampledToken } from "../../engine/types.ts";
import type { AlignmentRequest, AnswerRequest } from "../../gateway/types.ts";
import type { Candidate, Conversation, Policy } from "../../registry/types.ts";
import type { ReportDetail } from "./alignment.ts";

/** A request that was checked: what to run, and how to show it. */
export interface Ask {
  readonly model: string;
  readonly format: Format;
  /** One answer request each; all of them share what follows. */
  readonly prompts: readonly Prompt[];
  /** Answers to each prompt. */
  readonly choices: number;
  readonly sampling: AnswerRequest["sampling"];
  readonly alignment: AlignmentRequest | null;
  readonly detail: ReportDetail;
  /** Whether its stream tells of candidates; null: as is usual there. */
  readonly events: boolean | null;
  readonly store: boolean;
  readonly user: string | null;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

export interface Prompt {
  readonly conversation: Conversation;
  /** Text that the answer repeats before its own. */
  readonly echo: string;
}

/** A part of one choice's text, with the tokens drawn for it. */
export interface Piece {
  readonly text: string;
  readonly tokens: readonly SampledToken[];
  /** Characters of this choice that came before. */
  readonly offset: number;
  /** What drew it. */
  readonly policy: Pick<Policy, "tokenText">;
}

export interface Format {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** Whether a piece without text still shows something: its log-probabilities. */
  readonly showsTokens: boolean;
  /** A whole choice of an answer that is not streamed. */
  choice(index: number, piece: Piece, candidate: Candidate): object;
  /** What a streamed choice starts with; null for nothing. */
  opening(index: number, echo: string): object | null;
  delta(index: number, piece: Piece): object;
  finish(index: number, reason: FinishReason): object;
}

export const finishReasonSchema = Type.Enum(["stop", "length"]);

export const usageSchema = Type.Object(
  {
    prompt_tokens: Type.Integer(),
    completion_tokens: Type.Integer({ description: "Of the returned choices." }),
    total_tokens: Type.Integer(),
    prompt_tokens_details: Type.Object(
      {
        cached_tokens: Type.Integer({
          description: "Prompt tokens that an earlier prompt had left computed.",
        }),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
);

export type Usage = Type.Static<typeof usageSchema>;
