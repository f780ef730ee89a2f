/** From rewards to advantages: published numbers, and what cut, unjudged and overlong answers do to them. */
import { describe, expect, test } from "vitest";
import {
  type CreditOptions,
  creditGroups,
  hasSpread,
} from "../../../../src/jobs/training/online/credit.ts";
import type { DrawnAnswer, DrawnGroup } from "../../../../src/jobs/training/online/draw.ts";
import { pairOf } from "../../../../src/jobs/training/online/updates.ts";
import type { AdvantageEstimator } from "../../../../src/train/advantages.ts";

const options: CreditOptions = {
  unfinished: "take",
  unfinishedReward: null,
  overlongBuffer: 0,
  maxTokens: 10,
  rewardKl: 0,
  gamma: 1,
  lambda: 0.95,
  whitens: false,
};

const prompt = {
  ids: [1, 2],
  prompt: { text: "Say it" },
  key: "k",
  place: { file: "f", line: 1 },
  answer: null,
  corpus: null,
};

const answer = (reward: number | null, changes: Partial<DrawnAnswer> = {}): DrawnAnswer => ({
  text: `${reward}`,
  tokens: [5],
  logps: [-1],
  values: [],
  reward,
  isFinished: true,
  ...changes,
});

const group = (answers: readonly DrawnAnswer[], baseline: number | null = null): DrawnGroup => ({
  prompt,
  seed: 0,
  baseline,
  answers,
});

const of = (...rewards: (number | null)[]) => rewards.map((reward) => answer(reward));

/** Of the first token of each answer that is learned from. */
function advantages(
  estimator: AdvantageEstimator,
  groups: readonly DrawnGroup[],
  changes: Partial<CreditOptions> = {},
  { meanReward = null as number | null, reference = null as readonly number[] | null } = {},
): number[] {
  const parts = {
    options: { ...options, ...changes },
    reference: () => reference,
    before: { meanReward },
  };
  return creditGroups(groups, estimator, parts).flatMap((answers) =>
    answers.map((each) => each.advantages[0]!),
  );
}

const expectClose = (actual: readonly number[], expected: readonly number[]) => {
  expect(actual).toHaveLength(expected.length);
  for (const [i, each] of expected.entries()) expect(actual[i]).toBeCloseTo(each, 6);
};

describe("advantages of a rollout", () => {
  test("are GRPO's, RLOO's and ReMax's published numbers", () => {
    const eight = group(of(0, 0, 1, 1, 1, 0, 0, 1));
    const high = 0.935239;
    expectClose(
      advantages("group-normalised", [eight]),
      [-1, -1, 1, 1, 1, -1, -1, 1].map((sign) => sign * high),
    );
    expectClose(advantages("leave-one-out", [group(of(1, 2, 4, 5))]), [
      -8 / 3,
      -4 / 3,
      4 / 3,
      8 / 3,
    ]);
    expectClose(advantages("greedy-baseline", [group(of(1, 0, 0, 1), 1)]), [0, -1, -1, 0]);
  });

  test("compare within a prompt, never across prompts", () => {
    const groups = [group(of(0, 1)), group(of(10, 11))];
    expectClose(advantages("group-centred", groups), [-0.5, 0.5, -0.5, 0.5]);
  });

  test("by the mean of before take that of the rollouts before; the first takes its own", () => {
    expectClose(advantages("mean-baseline", [group(of(0, 2)), group(of(4))]), [-2, 0, 2]);
    expectClose(advantages("mean-baseline", [group(of(0, 2))], {}, { meanReward: 3 }), [-3, -1]);
  });

  test("by preference are σ(r − r′) − ½ where answers are judged one by one, P − ½ where they are compared", () => {
    const odds = (x: number) => 1 / (1 + Math.exp(-x)) - 0.5;
    expectClose(advantages("preference", [group(of(3, 0), 1)]), [odds(2), odds(-1)]);
    expectClose(advantages("preference", [group(of(0.9, 0.2))]), [0.4, -0.3]);
  });

  test("are 0 where the greedy answer got no judgement", () => {
    expectClose(advantages("greedy-baseline", [group(of(1, 0))]), [0, 0]);
  });
});

describe("answers that count otherwise", () => {
  const cut = answer(5, { isFinished: false });

  test("cut ones count as judged, not at all, or in the baselines alone", () => {
    const groups = [group([...of(0, 1), cut])];
    expectClose(advantages("group-centred", groups), [-2, -1, 3]);
    expectClose(advantages("group-centred", groups, { unfinished: "drop" }), [-0.5, 0.5]);
    expectClose(advantages("group-centred", groups, { unfinished: "mask" }), [-2, -1]);
  });

  test("cut ones may have a reward of their own", () => {
    const groups = [group([...of(0, 1), cut])];
    expectClose(advantages("group-centred", groups, { unfinishedReward: -1 }), [0, 1, -1]);
  });

  test("unjudged ones are in no baseline and get 0", () => {
    expectClose(advantages("leave-one-out", [group(of(1, null, 3))]), [-2, 0, 2]);
  });

  test("overlong ones lose up to 1", () => {
    const long = (length: number) => answer(1, { tokens: Array(length).fill(5), logps: [] });
    const groups = [group([long(5), long(8), long(10)])];
    // 10 tokens at most, the last 4 of which cost: 8 tokens lose a half, 10 tokens 1
    expectClose(advantages("group-centred", groups, { overlongBuffer: 4 }), [0.5, 0, -0.5]);
  });

  test("a penalty in the reward takes off β times what the answer is likelier than under the reference", () => {
    const groups = [group([answer(1, { logps: [-1] }), answer(1, { logps: [-3] })])];
    const found = advantages("group-centred", groups, { rewardKl: 0.1 }, { reference: [-2] });
    expectClose(found, [-0.1, 0.1]); // log-ratios 1 and −1
  });
});

describe("advantages by a value head", () => {
  const judged = (reward: number, values: readonly number[]) =>
    answer(reward, { tokens: values.map(() => 5), logps: values.map(() => -1), values });

  test("are GAE's, and returns are what the values should have been", () => {
    const [credited] = creditGroups([group([judged(2, [0.5, 1])])], "generalised", {
      options: { ...options, gamma: 0.9, lambda: 0.5 },
      reference: () => null,
      before: { meanReward: null },
    });
    // δ = (0.9·1 − 0.5, 2 − 1); Â₂ = 1, Â₁ = 0.4 + 0.45·1
    expectClose([...credited![0]!.advantages], [0.85, 1]);
    expectClose([...credited![0]!.returns], [1.35, 2]);
  });

  test("are whitened over all tokens of the rollout", () => {
    const groups = [group([judged(1, [0]), judged(3, [0])]), group([judged(5, [0])])];
    const deviation = Math.sqrt(8 / 3);
    expectClose(advantages("generalised", groups, { whitens: true }), [
      -2 / deviation,
      0,
      2 / deviation,
    ]);
  });

  test("leave out unjudged answers", () => {
    const unjudged = { ...judged(0, [0]), reward: null };
    expect(advantages("generalised", [group([judged(1, [0]), unjudged])])).toHaveLength(1);
  });
});

describe("pairs", () => {
  test("are the best and the worst answer, the earlier of equal ones", () => {
    const drawn = group(of(2, 5, 1, 5, 1, null));
    const pair = pairOf(
      drawn,
      drawn.answers.map(({ reward }) => reward),
    );
    expect(pair?.chosen).toBe(drawn.answers[1]);
    expect(pair?.rejected).toBe(drawn.answers[2]);
  });

  test("are none where all are worth the same", () => {
    expect(pairOf(group(of(1, 1)), [1, 1])).toBeNull();
    expect(hasSpread(group(of(1, null, 1)), options, () => null)).toBe(false);
  });
});
