/**
 * The reward that a policy was trained for, read off its likelihoods: β·Σₜ [log π(yₜ|x, y₍<t₎) − log π_ref(yₜ|x, y₍<t₎)], the
 * end of turn included where the answer is finished. With `normalise: "tokens"` divided by the number of π's tokens.
 * Unit: nats times β. The formula of a reward has a further β·log Z(x), the same for all answers to a prompt: answers
 * of one prompt can be compared, prompts cannot.
 * It may order answers worse than a reward model of the same data would: measure it before it chooses.
 * Each policy reads the text in its own tokens and template; where the two tokenise otherwise, log π(y) is that
 * of one way to spell y, and less than that of the text.
 * Unfinished answers are accepted: every prefix has its own sum, without an end of turn. Without a token: 0.
 * Cost: a run over prompt and answer of each policy, the prompt's share of which is kept by its prefix cache.
 * Gives −∞ where π holds the answer for impossible, NaN where both do.
 * Sources: Rafailov et al., arXiv:2305.18290, eq. 5; Xiao and Zhu, "Natural Language Processing", eq. 10.80.
 */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { defineReward, type Speaker } from "./define.ts";
import { revisionOf } from "./rule.ts";

export const implicit = defineReward({
  name: "implicit",
  description:
    "How much likelier a policy finds an answer than its reference does, as DPO's reward.",
  isInline: true,
  options: Type.Object({
    policy: Type.String({ minLength: 1, description: "id of the aligned policy or adapter" }),
    reference: Type.String({ minLength: 1, description: "id of what it was trained from" }),
    beta: Type.Number({ exclusiveMinimum: 0, default: 0.1, description: "of its training" }),
    normalise: Type.Enum(["none", "tokens"], { default: "none" }),
  }),
  create(id, options, world) {
    const { beta, normalise } = options;
    if (options.policy === options.reference) {
      const problem = "is the policy itself, so that every answer would have the reward 0";
      throw new GatewayError("invalid_request", { param: "alignment.reward.reference", problem });
    }
    const [policy, reference] = [world.speaker(options.policy), world.speaker(options.reference)];
    return {
      id,
      revision: revisionOf("implicit", options, policy.revision, reference.revision),
      acceptsPrefixes: true,
      open({ messages }, signal) {
        const logprobs = (speaker: Speaker, text: string, isFinished: boolean) =>
          speaker.logprobs(messages, text, { isFinished, signal });
        return {
          async score(text, { isFinished = true } = {}) {
            const [ours, theirs] = await Promise.all([
              logprobs(policy, text, isFinished),
              logprobs(reference, text, isFinished),
            ]);
            const ratio = sum(ours) - sum(theirs);
            return (beta * ratio) / (normalise === "tokens" ? Math.max(1, ours.length) : 1);
          },
          close: () => undefined,
        };
      },
    };
  },
});

/** In double precision: log-probabilities are float32. */
const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0);
