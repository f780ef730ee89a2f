/** Losses over pairs: worked numbers of the sources, and what must be equal to what. */
import type { Static, TObject } from "typebox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import type { PairLoss } from "../../../../src/train/losses/define.ts";
import { alphapo } from "../../../../src/train/losses/pair/alphapo.ts";
import { aot } from "../../../../src/train/losses/pair/aot.ts";
import { apoDown } from "../../../../src/train/losses/pair/apo-down.ts";
import { apoZero } from "../../../../src/train/losses/pair/apo-zero.ts";
import { bcoPair } from "../../../../src/train/losses/pair/bco-pair.ts";
import { cdpo } from "../../../../src/train/losses/pair/cdpo.ts";
import { cpo } from "../../../../src/train/losses/pair/cpo.ts";
import { dilBce } from "../../../../src/train/losses/pair/dil-bce.ts";
import { dilLsif } from "../../../../src/train/losses/pair/dil-lsif.ts";
import { dilUkl } from "../../../../src/train/losses/pair/dil-ukl.ts";
import { discopop } from "../../../../src/train/losses/pair/discopop.ts";
import { dpo } from "../../../../src/train/losses/pair/dpo.ts";
import { exo } from "../../../../src/train/losses/pair/exo.ts";
import { gsil } from "../../../../src/train/losses/pair/gsil.ts";
import { hinge } from "../../../../src/train/losses/pair/hinge.ts";
import { ipo } from "../../../../src/train/losses/pair/ipo.ts";
import { nca } from "../../../../src/train/losses/pair/nca.ts";
import { orpo } from "../../../../src/train/losses/pair/orpo.ts";
import { robust } from "../../../../src/train/losses/pair/robust.ts";
import { rpo } from "../../../../src/train/losses/pair/rpo.ts";
import { rpoRelative } from "../../../../src/train/losses/pair/rpo-relative.ts";
import { rpoRewardAware } from "../../../../src/train/losses/pair/rpo-reward-aware.ts";
import { simpo } from "../../../../src/train/losses/pair/simpo.ts";
import { slic } from "../../../../src/train/losses/pair/slic.ts";
import { spin } from "../../../../src/train/losses/pair/spin.ts";
import { sppo } from "../../../../src/train/losses/pair/sppo.ts";
import { wpo } from "../../../../src/train/losses/pair/wpo.ts";
import { answer, type Pair, pairLossOf } from "../../../support/answer-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/** A loss's value where one is asked for; its metrics and gradients beside it. */
async function of<O extends TObject>(
  loss: PairLoss<O>,
  given: Partial<Static<O>>,
  ...pairs: readonly Pair[]
) {
  const { loss: value, ...rest } = await pairLossOf(runtime, loss, given, pairs);
  return { value: value!, ...rest } as { value: number } & Record<string, number>;
}
/** A pair of answers of one token with these log-ratios. */
const ratios = (chosen: number, rejected: number): Pair => [answer(chosen), answer(rejected)];

/** Log-probabilities −12 and −15 against a reference's −13 and −14: log-ratios 1 and −1; 6 and 5 tokens. */
const survey: Pair = [answer(-12, -13, 6), answer(-15, -14, 5)];
/** Tokens of log-probabilities (−1, −0.5) and (−2, −1, −1, −2) against (−1.2, −0.7) and (−1.5, −1, −0.9, −1.4). */
const tokens: Pair = [answer(-1.5, -1.9, 2), answer(-6, -4.8, 4)];

describe("dpo", () => {
  test("is ln 2 where the policy is the reference, whatever β is, and a tie is not in order", async () => {
    for (const beta of [0.01, 0.1, 5]) {
      const { value, accuracy, margin } = await of(dpo, { beta }, [answer(-7, -7), answer(-3, -3)]);
      expect(value).toBeCloseTo(Math.LN2, 12);
      expect([accuracy, margin]).toEqual([0, 0]);
    }
  });
  test("has the worked numbers of the surveys, with their rewards and gradients", async () => {
    const worked = await of(dpo, {}, survey);
    expect(worked.value).toBeCloseTo(0.598138869, 9);
    expect(worked["chosen_reward"]).toBeCloseTo(0.1, 12);
    expect(worked["rejected_reward"]).toBeCloseTo(-0.1, 12);
    expect(worked["d chosen"]).toBeCloseTo(-0.0450166002687522, 12);
    expect(worked["d rejected"]).toBeCloseTo(0.0450166002687522, 12);
    expect((await of(dpo, { beta: 0.5 }, survey)).value).toBeCloseTo(0.31326168751822286, 12);
    const { value, accuracy } = await of(dpo, {}, survey, [survey[1], survey[0]]);
    expect([value, accuracy]).toEqual([expect.closeTo(0.6981388693815918, 12), 0.5]);
    expect((await of(dpo, {}, tokens)).value).toBeCloseTo(0.616343773, 9);
    const averaged = await of(dpo, { beta: 1, length_normalize: true }, tokens);
    expect(averaged.value).toBeCloseTo(0.4740769842, 9);
  });
  test("sees only the ratio of probabilities: (0.8, 0.2) is as good as (0.4, 0.1)", async () => {
    const at = (chosen: number, rejected: number): Pair => [
      answer(Math.log(chosen), Math.log(0.5)),
      answer(Math.log(rejected), Math.log(0.5)),
    ];
    for (const pair of [at(0.8, 0.2), at(0.4, 0.1)]) {
      expect((await of(dpo, {}, pair)).value).toBeCloseTo(0.626232806408696, 12);
      expect((await of(dpo, { beta: 1 }, pair)).value).toBeCloseTo(0.22314355131420976, 12);
    }
  });
  test("takes other divergences: forward KL, Jensen-Shannon, alpha between the two KLs", async () => {
    const value = async (options: Parameters<typeof of<(typeof dpo)["options"]>>[1]) =>
      (await of(dpo, options, survey)).value;
    expect(await value({ divergence: "forward-kl" })).toBeCloseTo(0.582516713, 9);
    expect(await value({ divergence: "js" })).toBeCloseTo(0.64439666, 9);
    expect(await value({ divergence: "alpha", alpha: 1 })).toBeCloseTo(await value({}), 12);
    expect(await value({ divergence: "alpha", alpha: 0 })).toBeCloseTo(0.582516713, 9);
  });
});

describe("noisy labels", () => {
  test("cdpo and robust without noise are dpo", async () => {
    const { value } = await of(dpo, {}, survey);
    expect((await of(cdpo, { label_smoothing: 0 }, survey)).value).toBeCloseTo(value, 12);
    expect((await of(robust, { label_smoothing: 0 }, survey)).value).toBeCloseTo(value, 12);
  });
  test("cdpo rests where the odds are those of a right label", async () => {
    const rest = await of(cdpo, { beta: 1, label_smoothing: 0.2 }, ratios(Math.log(4), 0));
    expect(rest["d chosen"]).toBeCloseTo(0, 12);
    expect(rest.value).toBeCloseTo(-0.8 * Math.log(0.8) - 0.2 * Math.log(0.2), 12);
  });
  test("robust's mean over flipped labels is dpo's loss on the right ones", async () => {
    const right = (await of(robust, { label_smoothing: 0.3 }, survey)).value;
    const flipped = (await of(robust, { label_smoothing: 0.3 }, [survey[1], survey[0]])).value;
    expect(0.7 * right + 0.3 * flipped).toBeCloseTo((await of(dpo, {}, survey)).value, 12);
  });
  test("exo is 0 at the odds of its labels, and has the survey's numbers", async () => {
    const rest = await of(exo, { beta: 1, label_smoothing: 0.1 }, ratios(Math.log(9), 0));
    expect(rest.value).toBeCloseTo(0, 12);
    expect(rest["d chosen"]).toBeCloseTo(0, 12);
    expect((await of(exo, { label_smoothing: 0.1 }, survey)).value).toBeCloseTo(0.406304251, 9);
    expect((await of(exo, { label_smoothing: 0.01 }, survey)).value).toBeCloseTo(1.390445001, 9);
  });
});

describe("squares and hinges", () => {
  test("ipo is 0 at a margin of 1/(2β), of sums or of means, and has the survey's numbers", async () => {
    const sums = { length_normalize: false };
    expect((await of(ipo, sums, ratios(3, -2))).value).toBeCloseTo(0, 12);
    expect((await of(ipo, sums, survey)).value).toBeCloseTo(9, 12);
    expect((await of(ipo, sums, tokens)).value).toBeCloseTo(11.56, 12);
    expect((await of(ipo, {}, survey)).value).toBeCloseTo(21.467777778, 8);
    const [chosen, rejected] = [answer(3 * 4, 0, 4), answer(-2 * 7, 0, 7)];
    expect((await of(ipo, {}, [chosen, rejected])).value).toBeCloseTo(0, 12);
  });
  test("hinge is what is missing from a margin of 1, and nothing beyond", async () => {
    expect((await of(hinge, {}, survey)).value).toBeCloseTo(0.8, 12);
    expect((await of(hinge, {}, ratios(6, -5))).value).toBe(0);
    expect((await of(hinge, {}, ratios(-5, 5))).value).toBeCloseTo(2, 12);
  });
  test("slic compares plain log-probabilities, and adds the chosen answer's", async () => {
    expect((await of(slic, { nll_weight: 0 }, survey)).value).toBe(0);
    expect((await of(slic, {}, tokens)).value).toBeCloseTo(0.15, 12);
    expect((await of(slic, {}, [tokens[1], tokens[0]])).value).toBeCloseTo(5.5 + 0.6, 12);
  });
  test("sppo is 0 at log-ratios of ±1/(2β)", async () => {
    expect((await of(sppo, { beta: 0.1 }, ratios(5, -5))).value).toBe(0);
    expect((await of(sppo, { beta: 0.1 }, ratios(1, -1))).value).toBeCloseTo(32, 12);
    expect((await of(sppo, {}, ratios(0, 0))).value).toBeCloseTo(2 * 500 ** 2, 6);
  });
});

/** β·log-ratios of ±ln 3, so that σ is ¾ and ¼. */
const quarters = ratios(Math.log(3), -Math.log(3));

describe("each answer by itself", () => {
  test("nca", async () => {
    expect((await of(nca, { beta: 1 }, ratios(0, 0))).value).toBeCloseTo(2 * Math.LN2, 12);
    const expected = 1.5 * Math.log(4 / 3) + 0.5 * Math.log(4);
    expect((await of(nca, { beta: 1 }, quarters)).value).toBeCloseTo(expected, 12);
  });
  test("bco-pair, whose shift is the middle of the rewards", async () => {
    expect((await of(bcoPair, {}, survey)).value).toBeCloseTo(1.28879332, 8);
    const shifted = ratios(Math.log(3) + 2, -Math.log(3) + 2);
    const { value } = await of(bcoPair, { beta: 1, shift: "batch" }, shifted);
    expect(value).toBeCloseTo(2 * Math.log(4 / 3), 12);
  });
  test("apo-zero and apo-down", async () => {
    expect((await of(apoZero, { beta: 1 }, quarters)).value).toBeCloseTo(0.5, 12);
    expect((await of(apoDown, { beta: 1 }, quarters)).value).toBeCloseTo(0.75 + 0.1, 12);
    const down = await of(apoDown, { beta: 1 }, ratios(0, 0));
    expect(down["d chosen"]).toBeCloseTo(0.25 - 0.25, 12); // lowered by the first term, raised by the second
    expect(down["d rejected"]).toBeCloseTo(0.25, 12);
  });
  test("gsil, by each estimator, at log-ratios of 0 and of ±ln 3", async () => {
    const value = async (
      estimator: "bernoulli" | "brier" | "hinge" | "kliep" | "lsif",
      pair: Pair,
    ) => (await of(gsil, { estimator, scale: 1, shift: 0 }, pair)).value;
    expect(await value("bernoulli", quarters)).toBeCloseTo(2 * Math.log(4 / 3), 12);
    expect(await value("brier", quarters)).toBeCloseTo(2 / 16, 12);
    expect(await value("hinge", ratios(0, 0))).toBeCloseTo(2, 12);
    expect(await value("kliep", quarters)).toBeCloseTo(1 / 3 - Math.log(3), 12);
    expect(await value("lsif", quarters)).toBeCloseTo(1 / 18 - 3, 12);
  });
});

describe("forms of dpo", () => {
  test("spin is dpo with the last iterate for a reference", async () => {
    expect((await of(spin, {}, survey)).value).toBeCloseTo(0.598138869, 9);
    expect((await of(spin, { beta: 1 }, ratios(0, 0))).value).toBeCloseTo(Math.LN2, 12);
  });
  test("discopop is logistic for pairs out of order, exponential for those in order", async () => {
    expect((await of(discopop, {}, ratios(0, 0))).value).toBeCloseTo((Math.LN2 + 1) / 2, 12);
    expect((await of(discopop, { beta: 1 }, ratios(-1, 1))).value).toBeCloseTo(
      Math.log1p(Math.E ** 2),
      10,
    );
    expect((await of(discopop, { beta: 1 }, ratios(1, -1))).value).toBeCloseTo(Math.exp(-2), 10);
  });
  test("aot compares quantiles, not pairs, and is dpo for one pair", async () => {
    const pairs: Pair[] = [
      [answer(3, 0), answer(0, 0)],
      [answer(1, 2), answer(0, 0)],
    ]; // gaps of 3 and 1, the reference's of 0 and 2
    const beta = 1;
    expect((await of(aot, { beta }, ...pairs)).value).toBeCloseTo(Math.log1p(Math.exp(-1)), 12);
    const unpaired = (Math.log1p(Math.exp(1)) + Math.log1p(Math.exp(-3))) / 2;
    expect((await of(aot, { beta, paired: false }, ...pairs)).value).toBeCloseTo(unpaired, 12);
    const { value } = await of(dpo, {}, survey);
    expect((await of(aot, {}, survey)).value).toBeCloseTo(value, 12);
    expect((await of(aot, { paired: false }, survey)).value).toBeCloseTo(value, 12);
  });
  test("rpo adds the likelihood of the chosen answer, its sum or its mean token", async () => {
    const even: Pair = [answer(-2, -2, 4), answer(-3, -3, 1)];
    const sums = { length_normalize: false };
    expect((await of(rpo, sums, even)).value).toBeCloseTo(2.6931471806, 9);
    expect((await of(rpo, {}, even)).value).toBeCloseTo(0.5 + Math.LN2, 12);
    const plain = (await of(dpo, {}, survey)).value;
    expect((await of(rpo, { nll_weight: 0 }, survey)).value).toBeCloseTo(plain, 12);
  });
});

describe("without a reference", () => {
  test("simpo", async () => {
    const options = { beta: 2, gamma: 1 };
    expect((await of(simpo, options, survey)).value).toBeCloseTo(0.31326168751822286, 12);
    expect((await of(simpo, options, tokens)).value).toBeCloseTo(0.4740769842, 9);
    const plain: Pair = [answer(-12, 0, 6), answer(-15, 0, 5)];
    const averaged = await of(dpo, { beta: 2, length_normalize: true }, plain);
    const { value } = await of(simpo, { beta: 2, gamma: 0 }, plain);
    expect(value).toBeCloseTo(averaged.value, 12);
  });
  test("cpo, which without likelihood is dpo with a uniform reference", async () => {
    expect((await of(cpo, {}, tokens)).value).toBeCloseTo(1.993248946, 9);
    expect((await of(cpo, { nll_weight: 0 }, survey)).value).toBeCloseTo(0.554355244, 9);
  });
  test("orpo, from the odds of the mean tokens: 1 to 1 against 1 to 4", async () => {
    const pair: Pair = [answer(3 * Math.log(0.5), -9, 3), answer(2 * Math.log(0.2), -9, 2)];
    const worked = await of(orpo, { beta: 0.5 }, pair);
    expect(worked.value).toBeCloseTo(Math.LN2 + 0.5 * Math.log(5 / 4), 12);
    expect(worked["log_odds_ratio"]).toBeCloseTo(Math.log(4), 12);
  });
  test("orpo keeps its digits where a token is nearly certain", async () => {
    const doubt = 1e-5;
    const pair: Pair = [answer(Math.log1p(-doubt)), answer(Math.log(0.5))];
    const { log_odds_ratio } = await of(orpo, {}, pair);
    expect(log_odds_ratio! / Math.log((1 - doubt) / doubt)).toBeCloseTo(1, 10);
  });
});

describe("direct imitation", () => {
  const sums = { length_normalize: false };
  const at = async (pair: Pair, options = sums) => {
    const all = await Promise.all([dilLsif, dilUkl, dilBce].map((loss) => of(loss, options, pair)));
    return {
      values: all.map(({ value }) => value),
      chosen: all.map((each) => each["d chosen"]!),
      rejected: all.map((each) => each["d rejected"]!),
    };
  };
  const close = (numbers: readonly number[]) => numbers.map((each) => expect.closeTo(each, 9));

  test("at log-ratios of 0", async () => {
    const { values, chosen, rejected } = await at(ratios(0, 0));
    expect(values).toEqual(close([-0.5, 1, 1.3862943611]));
    expect(chosen).toEqual(close([-1, -1, -0.5]));
    expect(rejected).toEqual(close([1, 1, 0.5]));
  });
  test("at (ln 2, −ln 2) and its mirror", async () => {
    const { values, chosen, rejected } = await at(ratios(Math.LN2, -Math.LN2));
    expect(values).toEqual(close([-1.875, -0.1931471806, 0.8109302162]));
    expect(chosen).toEqual(close([-2, -1, -1 / 3]));
    expect(rejected).toEqual(close([0.25, 0.5, 1 / 3]));
    const mirror = await at(ratios(-Math.LN2, Math.LN2));
    expect(mirror.values).toEqual(close([1.5, 2.6931471806, 2.1972245773]));
  });
  test("see a chosen answer fall, which dpo cannot: (1, −1) against (−1, −3)", async () => {
    const [high, low] = [ratios(1, -1), ratios(-1, -3)];
    expect((await at(high)).values).toEqual(close([-2.6506141868, -0.6321205588, 0.626523375]));
    expect((await at(low)).values).toEqual(close([-0.3666400651, 1.0497870684, 1.3618490391]));
    const [before, after] = [await of(dpo, { beta: 1 }, high), await of(dpo, { beta: 1 }, low)];
    expect([before.value, after.value]).toEqual(close([0.126928011, 0.126928011]));
  });
  test("by UKL and BCE rescue a collapsed answer; LSIF does not", async () => {
    const { chosen } = await at(ratios(-5, -10));
    expect(chosen).toEqual(close([-0.006737947, -1, -0.9933071491]));
  });
  test("of means and of sums over tokens", async () => {
    const means = { length_normalize: true };
    expect((await at(tokens, means)).values).toEqual(
      close([-0.9469969401, 0.5408182207, 1.1524941139]),
    );
    expect((await at(tokens)).values).toEqual(close([-1.446465721, -0.0988057881, 0.7762977197]));
  });
  test("with chosen and rejected negatives take the mean of both terms", async () => {
    const [chosen, rejected] = ratios(0.7, -0.4);
    const both = await of(dilLsif, sums, [chosen, rejected], [chosen, chosen]);
    expect(both.value).toBeCloseTo(-Math.exp(0.7) + (Math.exp(1.4) + Math.exp(-0.8)) / 4, 12);
  });
  test("go on straight beyond e²⁰, and say how often", async () => {
    const { value, saturated, ...slopes } = await of(dilLsif, sums, ratios(120, 1));
    expect(value).toBeCloseTo(Math.exp(2) / 2 - Math.exp(20) * 101, 0);
    expect(slopes["d chosen"]).toBeCloseTo(-Math.exp(20), 4);
    expect(saturated).toBe(0.5);
  });
  test("by BCE on sums is bco-pair with β = 1", async () => {
    const { value } = await of(dilBce, sums, survey);
    expect((await of(bcoPair, { beta: 1 }, survey)).value).toBeCloseTo(value, 12);
  });
});

test("every pair loss reports rewards, their margin, pairs in order, and both likelihoods", async () => {
  const { accuracy, margin, ...metrics } = await of(nca, {}, survey, ratios(-3, 2));
  expect([accuracy, margin]).toEqual([0.5, expect.closeTo((0.2 - 0.5) / 2, 12)]);
  expect(metrics["chosen_reward"]).toBeCloseTo((0.1 - 0.3) / 2, 12);
  expect(metrics["rejected_reward"]).toBeCloseTo((-0.1 + 0.2) / 2, 12);
  expect(metrics["chosen_logp"]).toBeCloseTo(-7.5, 12);
  expect(metrics["rejected_logp"]).toBeCloseTo(-6.5, 12);
});

describe("alphapo", () => {
  test("has TRL's number: probabilities 0.5 and 0.25 a token, α 0.25, β 2.5, γ 0.5", async () => {
    // r = (1 − p^−0.25)/0.25: −0.756828460011 and −1.656854249492
    const pair: Pair = [answer(3 * Math.log(0.5), 0, 3), answer(2 * Math.log(0.25), 0, 2)];
    const options = { alpha: 0.25, beta: 2.5, gamma: 0.5 };
    const margin = 2.5 * (-0.756828460010884 + 1.6568542494923806) - 0.5;
    const { value } = await of(alphapo, options, pair);
    expect(value).toBeCloseTo(Math.log1p(Math.exp(-margin)), 12);
    expect(value).toBeCloseTo(0.160214605549, 11);
  });
  test("is simpo for α = 0, and near it for a small α", async () => {
    const same = { beta: 2, gamma: 1 };
    const { value } = await of(simpo, same, survey);
    expect((await of(alphapo, { ...same, alpha: 0 }, survey)).value).toBeCloseTo(value, 12);
    expect((await of(alphapo, { ...same, alpha: 1e-6 }, survey)).value).toBeCloseTo(value, 5);
  });
  test("pulls an unlikely rejected answer down less, and a chosen one up more, the larger α is", async () => {
    const pair: Pair = [answer(-2, 0, 1), answer(-1, 0, 1)];
    const slope = async (alpha: number) => {
      const found = await of(alphapo, { beta: 1, gamma: 0, alpha }, pair);
      return -found["d chosen"]! / found["d rejected"]!;
    };
    expect(await slope(0)).toBeCloseTo(1, 12);
    expect(await slope(0.5)).toBeCloseTo(Math.exp(0.5), 12); // e^(−α(ℓ̄_w − ℓ̄_l))
  });
});

describe("wpo", () => {
  test("is dpo weighed by how likely the policy is to say both answers", async () => {
    const { value } = await of(dpo, {}, survey);
    // means of −2 and −3 a token, laws of collisions e^−1.5 and e^−2: e^(−0.5) and e^(−1)
    const pair: Pair = [answer(-12, -13, 6, -9), answer(-15, -14, 5, -10)];
    const sampled = await of(wpo, {}, pair);
    expect(sampled["weight"]).toBeCloseTo(Math.exp(-1.5), 12);
    expect(sampled.value).toBeCloseTo(Math.exp(-1.5) * value, 12);
    expect((await of(wpo, { alignment: "none" }, pair)).value).toBeCloseTo(
      Math.exp(-5) * value,
      12,
    );
    const plain = await of(dpo, {}, survey);
    expect(sampled["d chosen"]).toBeCloseTo(Math.exp(-1.5) * plain["d chosen"]!, 12); // the weight is held
  });
  test("counts answers that are likelier than the policy's own once, not more", async () => {
    const certain: Pair = [answer(-1, -1, 2, -8), answer(-1, -1, 2, -8)];
    expect((await of(wpo, {}, certain)).value).toBeCloseTo(Math.LN2, 12);
  });
});

describe("rpo-relative", () => {
  const run = async (similarities: readonly number[], options = {}, pairs: readonly Pair[] = two) =>
    (await pairLossOf(runtime, rpoRelative, options, pairs, { similarities }))["loss"]!;
  const two: readonly Pair[] = [ratios(1, -1), ratios(3, 0)];
  const softplus = (x: number) => Math.log1p(Math.exp(x));

  test("is dpo of one pair, and of equal prompts the mean over all pairs of half the gaps", async () => {
    expect(await run([1], { beta: 0.1 }, [survey])).toBeCloseTo(0.598138869, 9);
    const gaps = [2, 1, 4, 3].map((gap) => softplus(-gap / 2));
    const mean = gaps.reduce((a, b) => a + b) / 4;
    expect(await run([1, 1, 1, 1], { beta: 1 })).toBeCloseTo(mean, 12);
  });
  test("counts each pair alone where prompts have nothing in common and τ is small", async () => {
    const apart = await run([1, 0, 0, 1], { beta: 1, temperature: 0.01 });
    expect(apart).toBeCloseTo((softplus(-2) + Math.LN2 + Math.LN2 + softplus(-3)) / 4, 12);
    const weight = 1 / (1 + Math.exp(-2)); // of itself, τ = 0.5
    const expected =
      softplus(-2 * weight) +
      softplus(weight - 1) +
      softplus(4 * weight - 4) +
      softplus(-3 * weight);
    expect(await run([1, 0, 0, 1], { beta: 1 })).toBeCloseTo(expected / 4, 12);
  });
});

describe("rpo-reward-aware", () => {
  const run = (margin: number, options = {}) =>
    pairLossOf(runtime, rpoRewardAware, options, [survey], { margins: [margin] });

  test("rests where the margin is the known one, whichever distance is taken", async () => {
    for (const distance of ["backward-kl", "forward-kl", "squared"] as const) {
      const rest = await run(0.1, { distance, eta: 2 }); // β·2 = 0.2 = η·0.1
      expect(rest["loss"]).toBeCloseTo(0, 12);
      expect(rest["d chosen"]).toBeCloseTo(0, 12);
    }
    const beyond = await run(-1);
    expect(beyond["d chosen"]).toBeGreaterThan(0); // dpo would go on
  });
  test("has the divergences of the two Bernoulli laws", async () => {
    const [p, q] = [1 / (1 + Math.exp(-1)), 1 / (1 + Math.exp(-0.2))];
    const kl = (a: number, b: number) =>
      a * Math.log(a / b) + (1 - a) * Math.log((1 - a) / (1 - b));
    expect((await run(1))["loss"]).toBeCloseTo(kl(p, q), 12);
    expect((await run(1, { distance: "forward-kl" }))["loss"]).toBeCloseTo(kl(q, p), 12);
    expect((await run(1, { distance: "squared" }))["loss"]).toBeCloseTo(0.64, 12);
  });
  test("is dpo, less a constant, for a margin without end", async () => {
    expect((await run(50))["loss"]).toBeCloseTo(0.598138869, 9);
  });
});
