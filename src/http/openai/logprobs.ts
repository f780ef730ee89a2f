/** Log-probabilities in OpenAI's two shapes: chat (objects with bytes) and text (parallel lists). */
import { type Static, Type } from "typebox";
import type { SampledToken, TokenLogprob } from "../../engine/types.ts";
import type { Policy } from "../../registry/types.ts";
import type { Piece } from "./format.ts";

/** Stands for −∞, which JSON cannot hold; OpenAI's choice. */
const leastLogprob = -9_999;

const tokenFields = {
  token: Type.String(),
  logprob: Type.Number({ description: "Natural log of the model's own probability." }),
  bytes: Type.Array(Type.Integer({ minimum: 0, maximum: 255 })),
};

export const chatLogprobsSchema = Type.Object(
  {
    content: Type.Array(
      Type.Object(
        {
          ...tokenFields,
          top_logprobs: Type.Array(Type.Object(tokenFields, { additionalProperties: false })),
        },
        { additionalProperties: false },
      ),
    ),
    refusal: Type.Null(),
  },
  { additionalProperties: false, description: "One entry a token; the end token is included." },
);

export const textLogprobsSchema = Type.Object(
  {
    tokens: Type.Array(Type.String()),
    token_logprobs: Type.Array(Type.Number()),
    top_logprobs: Type.Array(Type.Record(Type.String(), Type.Number())),
    text_offset: Type.Array(Type.Integer()),
  },
  { additionalProperties: false },
);

export function chatLogprobs(
  tokens: readonly SampledToken[],
  policy: Pick<Policy, "tokenText">,
): Static<typeof chatLogprobsSchema> {
  const entry = ({ id, logprob }: TokenLogprob) => {
    const { text, bytes } = policy.tokenText(id);
    return { token: text, logprob: Math.max(logprob, leastLogprob), bytes: [...bytes] };
  };
  const content = tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) }));
  return { content, refusal: null };
}

export function textLogprobs({ tokens, offset, policy }: Piece): Static<typeof textLogprobsSchema> {
  const name = ({ id }: TokenLogprob) => tokenName(policy.tokenText(id));
  const value = ({ logprob }: TokenLogprob) => Math.max(logprob, leastLogprob);
  const starts: number[] = [];
  let start = offset;
  for (const { id } of tokens) {
    starts.push(start);
    start += policy.tokenText(id).text.length;
  }
  return {
    tokens: tokens.map(name),
    token_logprobs: tokens.map(value),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map((t) => [name(t), value(t)]))),
    text_offset: starts,
  };
}

/** Names are keys here, so a part of a character is named by its bytes: "bytes:\xe2\x82". */
function tokenName({ text, bytes }: { text: string; bytes: Uint8Array }): string {
  if (!text.includes("\uFFFD")) return text;
  return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}
