/** Several policies or settings of sampling in one search. */
import { type Static, Type } from "typebox";
import type { CandidateSource, StrategyInput } from "./define.ts";
import { promptOf } from "./demands.ts";

export const memberProperties = {
  model: Type.Optional(
    Type.String({
      minLength: 1,
      description: "id of a served policy; the request's own unless said",
    }),
  ),
  temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
};

export type Member = Static<ReturnType<typeof memberSchema>>;
const memberSchema = () => Type.Object(memberProperties, { additionalProperties: false });

export interface MemberInput {
  readonly input: StrategyInput;
  /** Of its candidates; undefined for the request's own policy. */
  readonly source: CandidateSource | undefined;
}

/**
 * The input as a member sees it: its own policy, the conversation in its own tokens, its sampling over the request's.
 * @throws GatewayError model_not_found, prompt_too_long; invalid_request for a prompt of token ids, which mean another
 * thing to another model
 */
export function memberInput(
  input: StrategyInput,
  { model, temperature, top_p: topP }: Member,
  seed: number,
): MemberInput {
  const asked = {
    seed,
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
  };
  const sampling = { ...input.sampling, ...asked };
  if (model === undefined || model === input.policy.id) {
    return { input: { ...input, sampling }, source: undefined };
  }
  const policy = input.models.policy(model);
  const prompt = promptOf(policy, input);
  const maxTokens = Math.min(sampling.maxTokens, policy.contextTokens - prompt.length);
  return {
    // NOTE: a bias names tokens of the request's own policy
    input: { ...input, policy, prompt, sampling: { ...sampling, maxTokens, logitBias: new Map() } },
    source: { model: policy.id, revision: policy.revision, prompt, tokenText: policy.tokenText },
  };
}
