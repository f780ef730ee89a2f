/**
 * Guidance by a second served policy with the same tokens, which reads the same prompt tokens and the same answer: the
 * strategy makes each logit of both. Its own keys and values live as long as the answer.
 * Cost: a token of both policies for each token. Tokens that either excludes stay excluded, the other's only where its
 * weight is not 0.
 */
import type { StrategyInput } from "./define.ts";
import { demandSameTokens, refusal } from "./demands.ts";
import type { Guidance, Steering } from "./token-guided.ts";

export interface PolicySteering {
  /** The option that names the other policy. */
  readonly option: string;
  readonly id: string;
  /** Weights of the own logits and of the other's. */
  readonly weights: readonly [own: number, other: number];
}

/** @throws GatewayError model_not_found; invalid_request for a policy with other tokens, or too short a context */
export function policySteering(
  { models, policy, prompt, sampling }: StrategyInput,
  { option, id, weights }: PolicySteering,
): Steering {
  const other = models.policy(id);
  demandSameTokens(policy, other, option);
  const tokensMax = other.contextTokens - prompt.length;
  if (tokensMax < 1) {
    throw refusal(
      option,
      `the prompt has ${prompt.length} tokens and '${id}' reads ${other.contextTokens}`,
    );
  }
  return {
    async open(_session, signal): Promise<Guidance> {
      const wanted = Math.min(sampling.maxTokens, tokensMax);
      const { growing, next } = await other.grow(prompt, wanted, { signal });
      let row = next;
      return {
        tokensMax,
        warnings: [],
        async guide(logits, own) {
          mix(logits, own, { others: row.logits, weights });
          return null;
        },
        async accept(token) {
          row = await growing.append(token);
        },
        close: () => growing.close(),
      };
    },
  };
}

/**
 * The own logits in `logits` become weights[0]·own + weights[1]·others, bias and penalties stay as they are. Ids that
 * one model alone has are nobody's words.
 */
function mix(
  logits: Float64Array,
  own: Float32Array,
  { others, weights }: { others: Float32Array } & Pick<PolicySteering, "weights">,
): void {
  const [ours, theirs] = weights;
  if (theirs === 0 && ours === 1) return;
  const excluded = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const other = others[id] ?? excluded;
    if (logits[id] === excluded) continue;
    if (theirs !== 0 && other === excluded) logits[id] = excluded;
    else logits[id]! += (ours - 1) * own[id]! + (theirs === 0 ? 0 : theirs * other);
  }
}
