/** Texts to be said: examples → arrays → what a supervised loss is given. */
import { assert } from "../../base/assert.ts";
import type { Graph, Value } from "../../onnx/graph.ts";
import { pack, type StepData } from "../batches.ts";
import type { DistillationTerms, SupervisedTerms } from "../losses/define.ts";

/** log of a probability that is none: e to it is 0, and it times 0 is too. */
const NOTHING = -1e9;

/** @param all [scored, vocabulary] log-probabilities. */
export function distillationTerms(
  g: Graph,
  supervised: SupervisedTerms,
  all: Value,
): DistillationTerms {
  const table = (x: Value) => g.reshape(x, ["scored", "kept"]);
  const ids = table(g.input("teacher_ids", "int64", ["teacher_tokens"]));
  return {
    ...supervised,
    student: g.gatherElements(all, ids),
    teacher: table(g.input("teacher_logps", "float32", ["teacher_tokens"])),
  };
}

/** A conversation of many turns. */
export interface ConversationExample {
  readonly tokens: readonly number[];
  /** Of each token, whether it is to be learned: the assistant's. */
  readonly learned: readonly boolean[];
}

/**
 * All turns of a conversation in one pass, which gives what learning each after the ones before it would.
 * Source: Xiao & Zhu, 10.5 and 10.6.
 * @throws InvariantError when the first token is to be learned, which no row predicts, or flags and tokens differ in number.
 */
export function conversationStep(
  conversations: readonly ConversationExample[],
  tokensPerRow: number,
): StepData {
  for (const { tokens, learned } of conversations) {
    assert(tokens.length === learned.length, `${learned.length} flags for ${tokens.length} tokens`);
    assert(!learned[0], "no row predicts the first token");
  }
  const packed = pack(
    conversations.map(({ tokens }) => tokens.slice(0, -1)),
    tokensPerRow,
  );
  const scored = conversations.flatMap(({ tokens, learned }, i) =>
    tokens.flatMap((id, t) => (learned[t] ? [{ id, row: packed.starts[i]! + t - 1 }] : [])),
  );
  return {
    packed,
    int64: {
      rows: BigInt64Array.from(scored, ({ row }) => BigInt(row)),
      labels: BigInt64Array.from(scored, ({ id }) => BigInt(id)),
    },
    float32: { weights: new Float32Array(scored.length).fill(1) },
  };
}

/** A token that another model finds likely, and its log-probability. */
export interface Likely {
  readonly id: number;
  readonly logp: number;
}

export interface DistillationExample extends ConversationExample {
  /** For each token that is learned, the likeliest in its place; places may name different numbers of them. */
  readonly teacher: readonly (readonly Likely[])[];
}

/** @throws InvariantError when the other model speaks of more or fewer tokens than are learned, or says nothing of one. */
export function distillationStep(
  examples: readonly DistillationExample[],
  tokensPerRow: number,
): StepData {
  const places = examples.flatMap(({ learned, teacher }) => {
    const tokens = learned.filter(Boolean).length;
    assert(teacher.length === tokens, `${teacher.length} laws for ${tokens} tokens`);
    return [...teacher];
  });
  assert(
    places.every((place) => place.length > 0),
    "a token has no likely alternative",
  );
  const kept = places.reduce((most, { length }) => Math.max(most, length), 0);
  const filled = places.flatMap((place) => [
    ...place,
    ...Array.from({ length: kept - place.length }, () => ({ id: place[0]!.id, logp: NOTHING })),
  ]);
  const step = conversationStep(examples, tokensPerRow);
  return {
    packed: step.packed,
    int64: { ...step.int64, teacher_ids: BigInt64Array.from(filled, ({ id }) => BigInt(id)) },
    float32: { ...step.float32, teacher_logps: Float32Array.from(filled, ({ logp }) => logp) },
  };
}

/**
 * Which of the levels that the thresholds divide rewards into: k for one that reaches k of them.
 * @param thresholds rising.
 */
export function rewardLevel(reward: number, thresholds: readonly number[]): number {
  assert(
    thresholds.every((each, k) => k === 0 || each > thresholds[k - 1]!),
    "the thresholds do not rise",
  );
  return thresholds.filter((threshold) => reward >= threshold).length;
}
