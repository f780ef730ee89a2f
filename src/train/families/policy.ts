/** Answers that a policy drew: examples → arrays → what a policy loss is given. Advantages are data, not formulas. */
import { assert } from "../../base/assert.ts";
import type { Graph, Value } from "../../onnx/graph.ts";
import { type StepData, supervisedStep } from "../batches.ts";
import type { ActorCriticTerms, PolicyTerms } from "../losses/define.ts";

/** An answer that a policy drew. */
export interface Rollout {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
  /** log of the probability that each token had when it was drawn, nats. */
  readonly logps: readonly number[];
  /** The same under the reference policy; null where no loss asks for it. */
  readonly reference: readonly number[] | null;
  /** Of each token, see `advantages.ts`. */
  readonly advantages: readonly number[];
  /** How much each token counts; 1 where nothing is said. */
  readonly weights?: readonly number[];
}

/** An answer whose tokens a value head judged as they were drawn. */
export interface JudgedRollout extends Rollout {
  /** Of each token: the value before it, and what it should have been, see `generalisedAdvantages`. */
  readonly values: readonly number[];
  readonly returns: readonly number[];
}

/** @throws InvariantError for an empty prompt or completion, or numbers for more or fewer tokens than there are. */
export function policyStep(rollouts: readonly Rollout[], tokensPerRow: number): StepData {
  for (const { completion, logps, reference, advantages, weights } of rollouts) {
    assert(completion.length > 0, "a completion is empty");
    for (const numbers of [logps, advantages, reference ?? logps, weights ?? logps])
      assert(
        numbers.length === completion.length,
        `${numbers.length} numbers for ${completion.length} tokens`,
      );
  }
  const { packed, int64 } = supervisedStep(rollouts, tokensPerRow);
  const column = (of: (rollout: Rollout) => readonly number[]) =>
    Float32Array.from(rollouts.flatMap((rollout) => [...of(rollout)]));
  return {
    packed,
    int64: {
      ...int64,
      owners: BigInt64Array.from(
        rollouts.flatMap(({ completion }, i) => completion.map(() => BigInt(i))),
      ),
    },
    float32: {
      weights: column(({ weights, completion }) => weights ?? completion.map(() => 1)),
      old: column(({ logps }) => logps),
      reference: column(({ reference, logps }) => reference ?? logps),
      advantages: column(({ advantages }) => advantages),
      lengths: Float32Array.from(rollouts, ({ completion }) => completion.length),
    },
  };
}

/** @throws InvariantError as `policyStep`, and for values or returns of more or fewer tokens than there are. */
export function actorCriticStep(
  rollouts: readonly JudgedRollout[],
  tokensPerRow: number,
): StepData {
  for (const { completion, values, returns } of rollouts)
    assert(
      values.length === completion.length && returns.length === completion.length,
      `${values.length} values and ${returns.length} returns for ${completion.length} tokens`,
    );
  const step = policyStep(rollouts, tokensPerRow);
  const judged = {
    old_values: Float32Array.from(rollouts.flatMap(({ values }) => [...values])),
    returns: Float32Array.from(rollouts.flatMap(({ returns }) => [...returns])),
  };
  return { ...step, float32: { ...step.float32, ...judged } };
}

/**
 * Feeds: one number for each drawn token, `owners` (whose token it is), and `lengths` of the answers.
 * @param all [scored, vocabulary] log-probabilities.
 */
export function policyTerms(
  g: Graph,
  { logps, weights }: { logps: Value; weights: Value },
  all: Value,
): PolicyTerms {
  const column = (name: string) => g.input(name, "float32", ["scored"]);
  return {
    logps,
    weights,
    old: column("old"),
    reference: column("reference"),
    advantages: column("advantages"),
    owners: g.input("owners", "int64", ["scored"]),
    lengths: g.input("lengths", "float32", ["answers"]),
    entropies: () => g.neg(g.sum(g.mul(g.exp(all), all), 1)),
  };
}

/** The value head is the score head: it reads the state before a token where the policy predicts that token. */
export function actorCriticTerms(g: Graph, policy: PolicyTerms, values: Value): ActorCriticTerms {
  return {
    ...policy,
    values,
    oldValues: g.input("old_values", "float32", ["scored"]),
    returns: g.input("returns", "float32", ["scored"]),
  };
}
