/** Replies as a list of pieces, so that it is known where each mistake begins. */
import type { CorpusReply, Flaw, ReplyPiece } from "./types.ts";

export function unchecked(text: string): ReplyPiece {
  return { text, truth: null };
}

/** Empty pieces are left out, and white space at the end. */
export function replyOf(pieces: readonly ReplyPiece[], flaws: readonly Flaw[]): CorpusReply {
  const trimmed = [...pieces.slice(0, -1), trimmedEnd(pieces.at(-1)!)];
  const kept = trimmed.filter(({ text }) => text !== "");
  return { text: kept.map(({ text }) => text).join(""), pieces: kept, flaws };
}

function trimmedEnd({ text, truth }: ReplyPiece): ReplyPiece {
  return { text: text.trimEnd(), truth };
}

/** A piece that can be checked, with where it stands in the text; wrong from `wrongFrom` on. */
export interface Claim {
  readonly start: number;
  readonly end: number;
  readonly truth: string;
  /** null: it is right. */
  readonly wrongFrom: number | null;
}

export function claimsOf({ pieces }: CorpusReply): Claim[] {
  let end = 0;
  return pieces.flatMap(({ text, truth }) => {
    const start = end;
    end += text.length;
    if (truth === null) return [];
    return [
      { start, end, truth, wrongFrom: text === truth ? null : start + agreement(text, truth) },
    ];
  });
}

/** How many characters agree; a text that stops too soon disagrees in its last. */
function agreement(text: string, truth: string): number {
  let k = 0;
  while (k < text.length - 1 && text[k] === truth[k]) k++;
  return k;
}
