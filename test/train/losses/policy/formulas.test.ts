/** Losses over drawn answers by their formulas in double precision, with loops over answers and tokens. */
import { Value as Json } from "typebox/value";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import type { ActorCriticLoss, PolicyLoss } from "../../../../src/train/losses/define.ts";
import { losses } from "../../../../src/train/losses/index.ts";
import { random } from "../../../support/arrays.ts";
import { variants } from "../../../support/loss-variants.ts";
import { sum } from "../../../support/naive.ts";
import { runPolicyLoss } from "../../../support/policy-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

interface Token {
  readonly logp: number;
  readonly old: number;
  readonly reference: number;
  readonly advantage: number;
  readonly weight: number;
  readonly value: number;
  readonly oldValue: number;
  readonly target: number;
  readonly entropy: number;
}
type Options = Readonly<Record<string, number>> & { readonly [name: string]: unknown };
/** What a token gains, given all tokens of its answer. */
type Gain = (token: Token, answer: readonly Token[], options: Options) => number;

const owners = [0, 0, 0, 1, 1, 2];
const column = (seed: number, from: number, to: number) => random(seed, [6], from, to).data;
const numbers = {
  logps: column(21, -2, 0),
  old: column(22, -2, 0),
  reference: column(23, -2, 0),
  advantages: column(24, -1, 1),
  weights: [1, 1, 0, 0.5, 1, 1],
  values: column(25, -1, 1),
  oldValues: column(26, -1, 1),
  returns: column(27, -1, 1),
  entropies: column(28, 0, 3),
  owners,
};
const tokens = owners.map(
  (_, t): Token => ({
    logp: numbers.logps[t]!,
    old: numbers.old[t]!,
    reference: numbers.reference[t]!,
    advantage: numbers.advantages[t]!,
    weight: numbers.weights[t]!,
    value: numbers.values[t]!,
    oldValue: numbers.oldValues[t]!,
    target: numbers.returns[t]!,
    entropy: numbers.entropies[t]!,
  }),
);
const answers = [0, 1, 2].map((owner) => tokens.filter((_, t) => owners[t] === owner));

const ratio = ({ logp, old }: Token) => Math.exp(logp - old);
const clip = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);
function clipped(rho: number, a: number, { clip_low, clip_high }: Options): number {
  return Math.min(rho * a, clip(rho, 1 - clip_low!, 1 + clip_high!) * a);
}

const scoreFunction: Gain = ({ logp, advantage }) => advantage * logp;
const surrogate: Gain = (token, _, options) => clipped(ratio(token), token.advantage, options);
const gains: Readonly<Record<string, Gain>> = {
  reinforce: scoreFunction,
  rloo: scoreFunction,
  remax: scoreFunction,
  "nash-md": scoreFunction,
  grpo: surrogate,
  "dr-grpo": surrogate,
  dapo: surrogate,
  "raft++": surrogate,
  "reinforce-rej": surrogate,
  ppo: surrogate,
  cispo: (token, _, { ratio_max: c }) => {
    const rho = ratio(token);
    return token.advantage * (rho <= c! ? rho : c! * (1 + Math.log(rho / c!)));
  },
  gspo: ({ advantage }, answer, options) => {
    const mean = sum(answer.map(({ logp, old, weight }) => weight * (logp - old))) / answer.length;
    return clipped(Math.exp(mean), advantage, options);
  },
  sapo: (token, _, { temperature_positive, temperature_negative }) => {
    const tau = token.advantage > 0 ? temperature_positive! : temperature_negative!;
    return ((4 / tau) * token.advantage) / (1 + Math.exp(-tau * (ratio(token) - 1)));
  },
};

const penalties: Readonly<Record<string, (token: Token) => number>> = {
  k3: ({ logp, reference }) => Math.exp(reference - logp) - (reference - logp) - 1,
  k2: ({ logp, reference }) => (logp - reference) ** 2 / 2,
  k1: ({ logp, reference }) => logp - reference,
  iterate: (token) => ratio(token) - Math.log(ratio(token)) - 1,
};

function aggregated(
  of: (token: Token, answer: readonly Token[]) => number,
  how: unknown,
  max: number,
) {
  const sums = answers.map((answer) => sum(answer.map((each) => each.weight * of(each, answer))));
  const mean = (xs: readonly number[]) => sum(xs) / xs.length;
  switch (how) {
    case "token-mean":
      return sum(sums) / sum(numbers.weights);
    case "answer-mean":
      return mean(sums.map((each, i) => each / answers[i]!.length));
    case "answer-sum":
      return mean(sums);
    default:
      return mean(sums) / max;
  }
}

function valueError({ value, oldValue, target }: Token, most: number): number {
  const moved = oldValue + clip(value - oldValue, -most, most);
  return Math.max((value - target) ** 2, (moved - target) ** 2) / 2;
}

const cases = losses
  .filter((loss): loss is PolicyLoss | ActorCriticLoss => "estimator" in loss)
  .flatMap((loss) =>
    [{}, ...(variants[loss.name] ?? [])].map((given) => [loss.name, given, loss] as const),
  );

test.each(cases)("%s %o", async (name, given, loss) => {
  const options = Json.Default(loss.options, { ...given }) as Options; // of the loss's schema
  const { aggregation, tokens_max } = options;
  const gain = gains[name]!;
  const gained = aggregated(
    (token, answer) => gain(token, answer, options),
    aggregation,
    tokens_max!,
  );
  const penalty = aggregated(penalties[String(options["kl_estimator"])]!, aggregation, tokens_max!);
  const ofValues =
    name === "ppo"
      ? options["value_weight"]! *
        aggregated((token) => valueError(token, options["value_clip"]!), "token-mean", 1)
      : 0;
  const { loss: actual } = await runPolicyLoss(runtime, loss, numbers, given);
  const bonus = aggregated(({ entropy }) => entropy, aggregation, tokens_max!);
  const expected = options["kl_weight"]! * penalty - gained - options["entropy_weight"]! * bonus;
  expect(actual).toBeCloseTo(expected + ofValues, 10);
});
