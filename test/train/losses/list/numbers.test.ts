/** Losses over lists: worked numbers, and every loss against its formula in double precision. */
import type { Static, TObject } from "typebox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import type { ListLoss } from "../../../../src/train/losses/define.ts";
import { losses } from "../../../../src/train/losses/index.ts";
import { bonbon } from "../../../../src/train/losses/list/bonbon.ts";
import { dpoPlackettLuce } from "../../../../src/train/losses/list/dpo-plackett-luce.ts";
import { lipo } from "../../../../src/train/losses/list/lipo.ts";
import { listPairs } from "../../../../src/train/losses/list/list-pairs.ts";
import { rrhf } from "../../../../src/train/losses/list/rrhf.ts";
import { dpo } from "../../../../src/train/losses/pair/dpo.ts";
import { hinge } from "../../../../src/train/losses/pair/hinge.ts";
import {
  type AnswerNumbers,
  answer,
  complete,
  listLossOf,
  pairLossOf,
  type RankedList,
} from "../../../support/answer-terms.ts";
import { variants } from "../../../support/loss-variants.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

async function of<O extends TObject>(
  loss: ListLoss<O>,
  given: Partial<Static<O>>,
  ...lists: readonly RankedList[]
) {
  const { loss: value, ...rest } = await listLossOf(runtime, loss, given, lists);
  return { value: value!, ...rest } as { value: number } & Record<string, number>;
}

/** The book's four answers, best y₂, then y₃, y₁, y₄, with log-ratios of 1, 3, 2, 0 in their order. */
const book: RankedList = [
  [2, answer(1)],
  [4, answer(3)],
  [3, answer(2)],
  [1, answer(0)],
];
/** The same answers ranked in an order of their indices, best first. */
const ranked = (...order: readonly number[]): RankedList =>
  book.map(([, numbers], i) => [-order.indexOf(i), numbers]);
const two: RankedList = [
  [0, answer(-15, -14)],
  [1, answer(-12, -13)],
];

describe("dpo-plackett-luce", () => {
  test("has the book's numbers, with their gradient", async () => {
    const { value, ...slopes } = await of(dpoPlackettLuce, { beta: 1 }, book);
    expect(value).toBeCloseTo(1.1610573505237982, 12);
    const expected = [
      0.06293136842683511, -0.35608574011202776, -0.09787622613526792, 0.39103059782046046,
    ];
    for (const [i, slope] of expected.entries()) expect(slopes[`d ${i}`]).toBeCloseTo(slope, 12);
    const reversed = await of(dpoPlackettLuce, { beta: 1 }, ranked(3, 0, 2, 1));
    expect(reversed.value).toBeCloseTo(7.161057350523798, 12);
  });
  test("is ln 24 for four answers of one reward, and sums to 1 over all orders", async () => {
    const even = book.map(([reward]) => [reward, answer(-5, -5)] as const);
    expect((await of(dpoPlackettLuce, {}, even)).value).toBeCloseTo(Math.log(24), 12);
    const values = await Promise.all(
      permutations([0, 1, 2, 3]).map((order) => of(dpoPlackettLuce, { beta: 1 }, ranked(...order))),
    );
    const total = values.reduce((sum, { value }) => sum + Math.exp(-value), 0);
    expect(values).toHaveLength(24);
    expect(total).toBeCloseTo(1, 12);
  });
  test("is dpo for two answers, and ranks only the top where told", async () => {
    const pair = await pairLossOf(runtime, dpo, {}, [[two[1]![1], two[0]![1]]]);
    expect((await of(dpoPlackettLuce, {}, two)).value).toBeCloseTo(pair["loss"]!, 12);
    const first = await of(dpoPlackettLuce, { beta: 1, top: 1 }, book);
    expect(first.value).toBeCloseTo(0.4401896985611953, 12);
  });
  test("is the mean over lists, of whatever lengths", async () => {
    const alone = [await of(dpoPlackettLuce, {}, book), await of(dpoPlackettLuce, {}, two)];
    const both = await of(dpoPlackettLuce, {}, book, two);
    expect(both.value).toBeCloseTo((alone[0]!.value + alone[1]!.value) / 2, 12);
  });
});

describe("list-pairs", () => {
  test("logistic has the book's numbers, with their gradient, and pays for order", async () => {
    const options = { form: "logistic", beta: 1 } as const;
    const { value, ...slopes } = await of(listPairs, options, book);
    expect(value).toBeCloseTo(0.20703807270239263, 12);
    const expected = [
      0.019867153670352945, -0.07259503609494657, -0.01986715367035295, 0.07259503609494658,
    ];
    for (const [i, slope] of expected.entries()) expect(slopes[`d ${i}`]).toBeCloseTo(slope, 12);
    const even = book.map(([reward]) => [reward, answer(0)] as const);
    expect((await of(listPairs, options, even)).value).toBeCloseTo(Math.LN2, 12);
  });
  test("hinge is what is missing from a margin, the mean over pairs: gaps of 1, 1, 1, 2, 2, 3", async () => {
    expect((await of(listPairs, { beta: 1, delta: 2.5 }, book)).value).toBeCloseTo(5.5 / 6, 12);
    expect((await of(listPairs, { beta: 1 }, book)).value).toBe(0);
  });
  test("is hinge and dpo for two answers", async () => {
    const pair = [[two[1]![1], two[0]![1]]] as const;
    const [byHinge, byDpo] = [
      await pairLossOf(runtime, hinge, {}, pair),
      await pairLossOf(runtime, dpo, {}, pair),
    ];
    expect((await of(listPairs, {}, two)).value).toBeCloseTo(byHinge["loss"]!, 12);
    const logistic = await of(listPairs, { form: "logistic" }, two);
    expect(logistic.value).toBeCloseTo(byDpo["loss"]!, 12);
  });
});

describe("lipo", () => {
  test("weighs a pair by the gain and the discount that its exchange would change", async () => {
    const list: RankedList = [
      [1, answer(0)],
      [0, answer(2)],
    ]; // the worse answer leads: places 2 and 1
    const weight = 1 * Math.abs(1 / Math.log(3) - 1 / Math.log(2));
    const { value, ...slopes } = await of(lipo, { beta: 1 }, list);
    expect(value).toBeCloseTo(weight * Math.log1p(Math.exp(2)), 12);
    expect(slopes["d 0"]).toBeCloseTo(-weight / (1 + Math.exp(-2)), 12);
  });
});

describe("rrhf", () => {
  test("adds what worse answers exceed better ones by, and the best one's likelihood", async () => {
    const list: RankedList = [
      [1, answer(-6, 0, 3)], // −2 a token
      [3, answer(-6, 0, 2)], // −3
      [2, answer(-4, 0, 4)], // −1
    ];
    const excess = 1 + 2 + 0; // over the best by both, over the second by none
    expect((await of(rrhf, {}, list)).value).toBeCloseTo(excess + 6, 12);
    const means = { length_normalize: true, nll_weight: 2 };
    expect((await of(rrhf, means, list)).value).toBeCloseTo(excess + 2 * 3, 12);
  });
  test("leaves ties alone", async () => {
    const list: RankedList = [
      [1, answer(-9)],
      [1, answer(-3)],
      [0, answer(-12)],
    ];
    const { ranking, accuracy } = await listLossOf(runtime, rrhf, {}, [list]);
    expect([ranking, accuracy]).toEqual([0, 1]);
  });
});

describe("bonbon", () => {
  test("is 0 where best and worst are as far apart as best-of-n puts them: 1 for two, 5.5 for four", async () => {
    for (const [n, gap] of [
      [2, 1],
      [4, 5.5],
    ] as const) {
      expect((await of(bonbon, { alpha: 0 }, apart(n, gap))).value).toBeCloseTo(0, 10);
      expect((await of(bonbon, { alpha: 0 }, apart(n, gap + 2))).value).toBeCloseTo(4, 10);
    }
    const ofFour = await of(bonbon, { alpha: 0, n: 4 }, apart(2, 5.5));
    expect(ofFour.value).toBeCloseTo(0, 10);
  });
  test("rests at the mean gap of log-ratios under best-of-n, by quadrature", async () => {
    for (const n of [2, 4, 9]) {
      const { value } = await of(bonbon, { alpha: 0 }, apart(n, gapUnderBestOfN(n)));
      expect(value).toBeLessThan(1e-4);
    }
  });
});

/** n answers whose best and worst are so far apart. */
const apart = (n: number, gap: number): RankedList =>
  Array.from({ length: n }, (_, i) => [-i, answer(i === 0 ? gap : i === n - 1 ? 0 : -50)]);

/** E[log(π_n/π_ref)(best) − log(π_n/π_ref)(worst)] with log(π_n/π_ref) = ln n + (n − 1)·ln F, F uniform. */
function gapUnderBestOfN(n: number): number {
  const steps = 200_000;
  let gap = 0;
  for (let i = 0; i < steps; i++) {
    const f = (i + 0.5) / steps;
    const [ofBest, ofWorst] = [n * f ** (n - 1), n * (1 - f) ** (n - 1)];
    gap += ((n - 1) * Math.log(f) * (ofBest - ofWorst)) / steps;
  }
  return gap;
}

/** All options there are; each formula reads those of its own loss. */
interface Options {
  readonly beta: number;
  readonly top: number;
  readonly form: string;
  readonly delta: number;
  readonly alpha: number;
  readonly n: number;
  readonly nll_weight: number;
  readonly length_normalize: boolean;
}
interface Entry extends AnswerNumbers {
  readonly reward: number;
}
const ratio = ({ logp, reference }: AnswerNumbers) => logp - reference;
const average = ({ logp, tokens }: AnswerNumbers) => logp / tokens;
/** Pairs of a list, the better answer first. */
const comparisons = (list: readonly Entry[]) =>
  list.flatMap((a) => list.filter((b) => a.reward > b.reward).map((b) => [a, b] as const));
const total = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** One list, best first. */
const formulas: Record<string, (list: readonly Entry[], o: Options) => number> = {
  "dpo-plackett-luce": (list, { beta, top }) =>
    total(
      list.slice(0, top || list.length).map((each, k) => {
        const left = list.slice(k).map((other) => Math.exp(beta * ratio(other)));
        return Math.log(total(left)) - beta * ratio(each);
      }),
    ),
  "list-pairs": (list, { form, beta, delta }) => {
    const costs = comparisons(list).map(([a, b]) => {
      const margin = beta * (ratio(a) - ratio(b));
      return form === "hinge" ? Math.max(0, delta - margin) : Math.log(1 + Math.exp(-margin));
    });
    return total(costs) / costs.length;
  },
  lipo: (list, { beta }) => {
    const place = (each: Entry) => 1 + list.filter((other) => ratio(other) > ratio(each)).length;
    return total(
      comparisons(list).map(([a, b]) => {
        const gain = Math.abs(2 ** a.reward - 2 ** b.reward);
        const discount = Math.abs(1 / Math.log(1 + place(a)) - 1 / Math.log(1 + place(b)));
        return gain * discount * Math.log(1 + Math.exp(-beta * (ratio(a) - ratio(b))));
      }),
    );
  },
  rrhf: (list, o) =>
    total(comparisons(list).map(([a, b]) => Math.max(0, average(b) - average(a)))) -
    o.nll_weight * (o.length_normalize ? average(list[0]!) : list[0]!.logp),
  bonbon: (list, { alpha, n }) => {
    const size = n || list.length;
    const gap = (size - 1) * total(Array.from({ length: size - 1 }, (_, k) => 1 / (k + 1)));
    const error = ratio(list[0]!) - ratio(list.at(-1)!) - gap;
    return -alpha * list[0]!.logp + (1 - alpha) * error ** 2;
  },
};

const lists: readonly RankedList[] = [
  [
    [0.2, answer(-11, -12.5, 5)],
    [0.9, answer(-7.5, -7, 3)],
  ],
  [
    [0.1, answer(-20, -21.25, 6)],
    [0.75, answer(-13, -15, 7)],
    [1, answer(-18, -17, 9)],
    [0.6, answer(-4, -6.5, 2)],
  ],
];
const listLosses = losses.filter((loss): loss is ListLoss => loss.family === "list");
const cases = listLosses.flatMap((loss) =>
  [{}, ...(variants[loss.name] ?? [])].map((given): [string, ListLoss, Static<TObject>] => [
    [loss.name, ...Object.entries(given).map((option) => option.join(" "))].join(", "),
    loss,
    given,
  ]),
);

test.each(cases)("%s is its formula, the mean over lists", async (_, loss, given) => {
  const options = complete(loss, given) as unknown as Options; // of the loss's own schema
  const expected = lists.map((list) => {
    const entries = list.map(([reward, numbers]) => ({ ...numbers, reward }));
    return formulas[loss.name]!(
      entries.toSorted((a, b) => b.reward - a.reward),
      options,
    );
  });
  const { value } = await of(loss, given, ...lists);
  expect(value / (total(expected) / expected.length)).toBeCloseTo(1, 10);
});

test("every list loss reports comparisons in order, rewards of best and worst, and likelihood", async () => {
  const { accuracy, margin, ...metrics } = await of(dpoPlackettLuce, { beta: 0.5 }, book, two);
  expect([accuracy, margin]).toEqual([1, expect.closeTo((1.5 + 1) / 2, 12)]);
  expect(metrics["best_reward"]).toBeCloseTo((1.5 + 0.5) / 2, 12);
  expect(metrics["worst_reward"]).toBeCloseTo((0 - 0.5) / 2, 12);
  expect(metrics["best_logp"]).toBeCloseTo((3 - 12) / 2, 12);
});

function permutations(items: readonly number[]): number[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  );
}
