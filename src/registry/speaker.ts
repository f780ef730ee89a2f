/** A policy as a reward sees it: conversations in, what it says and how likely it finds answers out. */
import { GatewayError } from "../base/errors.ts";
import type { Speaker } from "../rewards/define.ts";
import type { Policy } from "./types.ts";

/**
 * @param current the policy that is served by that id now: adapters go, and others come by their names.
 * What is asked of the speaker fails with model_not_found or policy_changed when it is not this one.
 */
export function createSpeaker(policy: Policy, current: () => Policy = () => policy): Speaker {
  const { id, revision, defaults } = policy;
  const refuseChanged = () => {
    if (current().revision !== revision) throw new GatewayError("policy_changed", { policy: id });
  };
  return {
    id,
    revision,
    async answer(messages, { maxTokens, temperature, seed }, signal) {
      refuseChanged();
      const prompt = policy.encode({ kind: "chat", messages });
      const sampling = { ...defaults, temperature, seed, maxTokens };
      const [candidate] = await policy.generate(prompt, 1, sampling, { signal });
      return { text: candidate!.text, tokens: candidate!.tokens.length };
    },
    countTokens: (answer) => policy.encodeAnswer(answer, false).length,
    async logprobs(messages, answer, { isFinished, signal }) {
      refuseChanged();
      const prompt = policy.encode({ kind: "chat", messages });
      const tokens = policy.encodeAnswer(answer, isFinished);
      return tokens.length === 0 ? new Float32Array() : policy.score(prompt, tokens, signal);
    },
  };
}
