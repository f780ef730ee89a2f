/** Which examples each step takes, and how they are cut into passes: the same for the same seed, in any process. */
import { assert } from "../../base/assert.ts";
import { createRandom, splitSeed } from "../../base/random.ts";
import { ROW_MULTIPLE } from "../../onnx/transformer.ts";
import type { Pass } from "../../train/trainer.ts";
import type { Example, Material, References, Teacher } from "./define-material.ts";

/** Packing is not perfect: a pass filled to this share of its tokens rarely needs more. */
const FILL = 0.96;

/** Every example once an epoch, in another order each time. @returns the examples of the step numbered from 1 */
export function stepsOver<E>(
  examples: readonly E[],
  { batch, seed }: { batch: number; seed: number },
): { readonly perEpoch: number; readonly at: (step: number) => readonly E[] } {
  const perEpoch = Math.ceil(examples.length / batch);
  let shuffled = { epoch: -1, order: [] as readonly E[] };
  const at = (step: number) => {
    const epoch = Math.floor((step - 1) / perEpoch);
    if (shuffled.epoch !== epoch) {
      shuffled = { epoch, order: inDisorder(examples, splitSeed(seed, epoch)) };
    }
    const first = ((step - 1) % perEpoch) * batch;
    return shuffled.order.slice(first, first + batch);
  };
  return { perEpoch, at };
}

/** Fisher and Yates' shuffle, of a copy. */
export function inDisorder<E>(items: readonly E[], seed: number): E[] {
  const random = createRandom(seed);
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * Examples of like lengths share a pass, so that rows are no longer than they have to be; none is divided.
 * @param tokens of a pass, unless one example has more.
 */
export function cutIntoPasses<E extends Example>(examples: readonly E[], tokens: number): E[][] {
  const longest = ({ lengths }: E) => Math.max(...lengths);
  const passes: E[][] = [];
  let filled = Number.POSITIVE_INFINITY;
  for (const example of [...examples].sort((a, b) => longest(b) - longest(a))) {
    const size = example.lengths.reduce((sum, length) => sum + length, 0);
    if (filled + size > tokens * FILL) {
      passes.push([]);
      filled = 0;
    }
    passes.at(-1)!.push(example);
    filled += size;
  }
  return passes;
}

/** Tokens of a row that holds the longest sequence of the pass: few shapes, and little padding. */
export function rowOf(examples: readonly Example[]): number {
  const longest = Math.max(...examples.flatMap(({ lengths }) => lengths));
  return Math.ceil(longest / ROW_MULTIPLE) * ROW_MULTIPLE;
}

export interface PassMaker {
  readonly material: Material;
  readonly passTokens: number;
  readonly references: References;
  readonly teacher: Teacher;
}

/** Some examples as passes, with the share of each. */
export function passesOf(
  examples: readonly Example[],
  { material, passTokens, references, teacher }: PassMaker,
): Pass[] {
  const total = examples.reduce((sum, { share }) => sum + share, 0);
  assert(total > 0, "nothing of these examples counts");
  return cutIntoPasses(examples, passTokens).map((some) => ({
    data: material.step(some, rowOf(some), references, teacher),
    share: some.reduce((sum, { share }) => sum + share, 0) / total,
  }));
}
