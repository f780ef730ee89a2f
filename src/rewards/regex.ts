/**
 * Whether a regular expression (ECMAScript's) matches an answer: `matched`, else `unmatched`. Cost: about 0.1 ms.
 * A match may take 100 ms and all of one request 200 ms, far more than any that is well made takes on a busy machine.
 * What takes longer rejects with `reward_too_slow`: a pattern whose time doubles with every character of a hostile
 * answer costs its own request.
 */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { createBounded } from "./bounded.ts";
import { defineReward } from "./define.ts";
import { revisionOf } from "./rule.ts";
import { rangeOf, worthOptions } from "./verdict.ts";

export const matchTime = { callMs: 100, totalMs: 200 };

export const regex = defineReward({
  name: "regex",
  description: "Whether a regular expression matches the answer.",
  isInline: true,
  options: Type.Object({
    pattern: Type.String({ minLength: 1, maxLength: 2000 }),
    flags: Type.String({
      pattern: "^[imsuv]*$",
      default: "",
      description: "i case, m lines, s dot, u Unicode, v sets",
    }),
    ...worthOptions,
  }),
  create(id, options, { clock }) {
    const expression = compiled(options.pattern, options.flags);
    const { matched, unmatched } = options;
    return {
      id,
      revision: revisionOf("regex", options),
      acceptsPrefixes: false,
      range: rangeOf(matched, unmatched),
      open() {
        const bounded = createBounded(matchTime, () => clock.elapsedMs());
        return {
          async score(text) {
            const verdict = bounded(() => expression.test(text));
            if (verdict) return verdict.value ? matched : unmatched;
            throw new GatewayError("reward_too_slow", { reward: id, limitMs: matchTime.callMs });
          },
          close: () => undefined,
        };
      },
    };
  },
});

function compiled(pattern: string, flags: string): RegExp {
  try {
    return new RegExp(pattern, flags);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new GatewayError(
      "invalid_request",
      { param: "alignment.reward.pattern", problem },
      { cause },
    );
  }
}
