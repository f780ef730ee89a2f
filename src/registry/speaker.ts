/** A policy as a reward sees it: conversations in, what it says and how likely it finds answers out. */
import type { Speaker } from "../rewards/define.ts";
import type { Policy } from "./types.ts";

export function createSpeaker(policy: Policy): Speaker {
  const { id, revision, defaults } = policy;
  return {
    id,
    revision,
    async answer(messages, { maxTokens, temperature, seed }, signal) {
      const prompt = policy.encode({ kind: "chat", messages });
      const sampling = { ...defaults, temperature, seed, maxTokens };
      const [candidate] = await policy.generate(prompt, 1, sampling, { signal });
      return candidate!.text;
    },
    countTokens: (answer) => policy.encodeAnswer(answer, false).length,
    async logprobs(messages, answer, { isFinished, signal }) {
      const prompt = policy.encode({ kind: "chat", messages });
      const tokens = policy.encodeAnswer(answer, isFinished);
      return tokens.length === 0 ? new Float32Array() : policy.score(prompt, tokens, signal);
    },
  };
}
