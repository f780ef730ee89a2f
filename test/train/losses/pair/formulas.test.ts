/** Every loss over pairs against its formula, written a second time on plain numbers in double precision. */
import type { Static, TObject } from "typebox";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRandom } from "../../../../src/base/random.ts";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import type { PairLoss } from "../../../../src/train/losses/define.ts";
import { losses } from "../../../../src/train/losses/index.ts";
import {
  type AnswerNumbers,
  answer,
  complete,
  type Pair,
  pairLossOf,
} from "../../../support/answer-terms.ts";
import { variants } from "../../../support/loss-variants.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/** All options there are; each formula reads those of its own loss. */
interface Options {
  readonly beta: number;
  readonly alpha: number;
  readonly gamma: number;
  readonly delta: number;
  readonly scale: number;
  readonly shift: number | string;
  readonly temperature: number;
  readonly label_smoothing: number;
  readonly nll_weight: number;
  readonly length_normalize?: boolean;
  readonly paired: boolean;
  readonly divergence: string;
  readonly estimator: string;
  readonly alignment: string;
  readonly eta: number;
  readonly distance: string;
}
type Formula = (pairs: readonly Pair[], o: Options) => number;

const { exp, log, max } = Math;
const sigmoid = (x: number) => 1 / (1 + exp(-x));
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const up = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const ratio = ({ logp, reference, tokens }: AnswerNumbers, normalize = false) =>
  (logp - reference) / (normalize ? tokens : 1);
const average = ({ logp, tokens }: AnswerNumbers) => logp / tokens;
const likelihood = (each: AnswerNumbers, o: Options) =>
  o.length_normalize ? average(each) : each.logp;

/** A loss that is the mean of what each pair gives: from log-ratios of chosen and rejected. */
const ofRatios =
  (f: (w: number, l: number, o: Options) => number): Formula =>
  (pairs, o) =>
    mean(pairs.map(([w, l]) => f(ratio(w, o.length_normalize), ratio(l, o.length_normalize), o)));
const ofAnswers =
  (f: (w: AnswerNumbers, l: AnswerNumbers, o: Options) => number): Formula =>
  (pairs, o) =>
    mean(pairs.map(([w, l]) => f(w, l, o)));
const smoothed = (m: number, epsilon: number) =>
  -(1 - epsilon) * log(sigmoid(m)) - epsilon * log(sigmoid(-m));

/** f′ of the divergence at a ratio of probabilities. */
const slopes: Record<string, (u: number, alpha: number) => number> = {
  "reverse-kl": (u) => log(u) + 1,
  "forward-kl": (u) => -1 / u,
  js: (u) => log((2 * u) / (1 + u)),
  alpha: (u, alpha) => (alpha === 1 ? log(u) : u ** (alpha - 1) / (alpha - 1)),
};

/** What is told of the pairs below. */
const notes = {
  margins: [0.5, 2, 0, 1, 0.25, -0.5, 3],
  similarities: Array.from({ length: 49 }, (_, i) => (i % 8 === 0 ? 1 : Math.sin(i))),
  running: { mean: 0.3, steps: 4 },
};

const formulas: Record<string, Formula> = {
  wpo: ofAnswers((w, l, { beta, alignment }) => {
    const own = ({ logp, collisions, tokens }: AnswerNumbers) =>
      exp((logp - (alignment === "sampled" ? collisions : 0)) / tokens);
    return Math.min(1, own(w) * own(l)) * -log(sigmoid(beta * (ratio(w) - ratio(l))));
  }),
  alphapo: ofAnswers((w, l, { beta, gamma, alpha }) => {
    const p = (each: AnswerNumbers) => exp(average(each)); // as TRL writes it, of probabilities
    const reward = (each: AnswerNumbers) =>
      alpha === 0 ? average(each) : (1 - p(each) ** -alpha) / alpha;
    return -log(sigmoid(beta * (reward(w) - reward(l) - gamma / beta)));
  }),
  "rpo-relative": (pairs, { beta, temperature }) => {
    const n = pairs.length;
    return mean(
      pairs.flatMap(([w], i) => {
        const distances = pairs.map((_, j) => 1 - notes.similarities[i * n + j]!);
        const raw = distances.map((distance) => exp(-distance / temperature));
        return pairs.map(([, l], j) => {
          const weight = raw[j]! / raw.reduce((a, b) => a + b);
          return -log(sigmoid(beta * weight * (ratio(w) - ratio(l))));
        });
      }),
    );
  },
  "rpo-reward-aware": (pairs, { beta, eta, distance }) =>
    mean(
      pairs.map(([w, l], i) => {
        const [m, t] = [beta * (ratio(w) - ratio(l)), eta * notes.margins[i]!];
        const kl = (p: number, q: number) => p * log(p / q) + (1 - p) * log((1 - p) / (1 - q));
        if (distance === "squared") return (m - t) ** 2;
        const [p, q] = [sigmoid(t), sigmoid(m)];
        return distance === "backward-kl" ? kl(p, q) : kl(q, p);
      }),
    ),
  dpo: ofRatios((w, l, { beta, divergence, alpha }) => {
    const f = (u: number) => slopes[divergence]!(exp(u), alpha);
    return -log(sigmoid(beta * (f(w) - f(l))));
  }),
  cdpo: ofRatios((w, l, o) => smoothed(o.beta * (w - l), o.label_smoothing)),
  robust: ofRatios((w, l, { beta, label_smoothing: e }) => {
    const m = beta * (w - l);
    return (-(1 - e) * log(sigmoid(m)) + e * log(sigmoid(-m))) / (1 - 2 * e);
  }),
  ipo: ofRatios((w, l, { beta }) => (w - l - 1 / (2 * beta)) ** 2),
  hinge: ofRatios((w, l, { beta }) => max(0, 1 - beta * (w - l))),
  slic: ofAnswers((w, l, o) => max(0, o.delta - w.logp + l.logp) - o.nll_weight * likelihood(w, o)),
  exo: ofRatios((w, l, { beta, label_smoothing: e }) => {
    const q = exp(beta * w) / (exp(beta * w) + exp(beta * l));
    return q * log(q / (1 - e)) + (1 - q) * log((1 - q) / e);
  }),
  nca: ofRatios(
    (w, l, { beta }) =>
      -log(sigmoid(beta * w)) - log(sigmoid(-beta * w)) / 2 - log(sigmoid(-beta * l)) / 2,
  ),
  "bco-pair": (pairs, o) => {
    const { beta, shift } = o;
    const rewards = pairs.flat().map((each) => beta * ratio(each));
    const { steps, mean: before } = notes.running;
    const middle = mean(rewards);
    const kept = { none: 0, batch: middle, running: (steps * before + middle) / (steps + 1) };
    const delta = kept[shift as keyof typeof kept];
    const f: Formula = ofRatios(
      (w, l) => -log(sigmoid(beta * w - delta)) - log(sigmoid(-(beta * l - delta))),
    );
    return f(pairs, o);
  },
  sppo: ofRatios((w, l, { beta }) => (w - 0.5 / beta) ** 2 + (l + 0.5 / beta) ** 2),
  aot: (pairs, { beta, paired, label_smoothing }) => {
    const good = up(pairs.map(([w, l]) => (paired ? w.logp - l.logp : ratio(w))));
    const bad = up(pairs.map(([w, l]) => (paired ? w.reference - l.reference : ratio(l))));
    return mean(good.map((each, i) => smoothed(beta * (each - bad[i]!), label_smoothing)));
  },
  "apo-zero": ofRatios((w, l, { beta }) => 1 - sigmoid(beta * w) + sigmoid(beta * l)),
  "apo-down": ofRatios((w, l, { beta }) => sigmoid(beta * w) + 1 - sigmoid(beta * (w - l))),
  discopop: ofRatios((w, l, { beta, temperature }) => {
    const m = beta * (w - l);
    const s = sigmoid(m / temperature);
    return (1 - s) * -log(sigmoid(m)) + s * exp(-m);
  }),
  simpo: ofAnswers(
    (w, l, { beta, gamma }) => -log(sigmoid(beta * (average(w) - average(l)) - gamma)),
  ),
  cpo: ofAnswers(
    (w, l, o) =>
      smoothed(o.beta * (w.logp - l.logp), o.label_smoothing) - o.nll_weight * likelihood(w, o),
  ),
  orpo: ofAnswers((w, l, { beta }) => {
    const odds = (each: AnswerNumbers) => exp(average(each)) / (1 - exp(average(each)));
    return -average(w) - beta * log(sigmoid(log(odds(w) / odds(l))));
  }),
  rpo: ofAnswers(
    (w, l, o) => -log(sigmoid(o.beta * (ratio(w) - ratio(l)))) - o.nll_weight * likelihood(w, o),
  ),
  "dil-lsif": ofRatios((w, l) => -exp(w) + exp(2 * l) / 2),
  "dil-ukl": ofRatios((w, l) => -w + exp(l)),
  "dil-bce": ofRatios((w, l) => -log(sigmoid(w)) - log(sigmoid(-l))),
  spin: ofRatios((w, l, { beta }) => log(1 + exp(-beta * (w - l)))),
  gsil: ofRatios((w, l, { estimator, scale, shift }) => {
    const [f, own] = [scale * w + Number(shift), scale * l + Number(shift)];
    if (estimator === "bernoulli") return -log(sigmoid(f)) - log(1 - sigmoid(own));
    if (estimator === "brier") return (1 - sigmoid(f)) ** 2 + sigmoid(own) ** 2;
    if (estimator === "hinge") return max(0, 1 - f) + max(0, 1 + own);
    if (estimator === "kliep") return -f + exp(own);
    return -exp(f) + exp(own) ** 2 / 2;
  }),
};

/** Pairs with log-ratios of a few nats either way; no two numbers are equal. */
const pairs: readonly Pair[] = (() => {
  const random = createRandom(7);
  const drawn = () => {
    const reference = -2 - 20 * random.uniform();
    const drift = 6 * random.uniform() - 3;
    const tokens = 1 + random.integer(9);
    const logp = Math.min(-0.5, reference + drift);
    return answer(logp, reference, tokens, -tokens * 3 * random.uniform());
  };
  return Array.from({ length: 7 }, () => [drawn(), drawn()] as const);
})();

const pairLosses = losses.filter((loss): loss is PairLoss => loss.family === "pair");
const cases = pairLosses.flatMap((loss) =>
  [{}, ...(variants[loss.name] ?? [])].map((given): [string, PairLoss, Static<TObject>] => [
    [loss.name, ...Object.entries(given).map((option) => option.join(" "))].join(", "),
    loss,
    given,
  ]),
);

test.each(cases)("%s", async (_, loss, given) => {
  const options = complete(loss, given) as unknown as Options; // of the loss's own schema
  const expected = formulas[loss.name.replace(/^online-/, "")]!(pairs, options);
  const { loss: value } = await pairLossOf(runtime, loss, given, pairs, notes);
  expect(value! / expected).toBeCloseTo(1, 10);
});
