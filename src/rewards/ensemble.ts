/**
 * Several rewards in one number. With wₖ the parts' weights and W = Σ wₖ:
 * - mean: Σ wₖ rₖ / W. sum: Σ wₖ rₖ, where weights may be negative.
 * - mean-deviation: mean − λ·s, mean-variance: mean − λ·s², with s² = Σ wₖ (rₖ − mean)² / W, the variance over the
 *   parts there are (the population's, divided by n and not by n − 1): 0 for one part.
 * - soft-min: −β·ln(Σ wₖ exp(−rₖ/β) / W): the minimum for β → 0, the mean for β → ∞.
 * - median (of an even number the mean of the middle two) and min: of the parts whose weight is not 0.
 * Unit: the parts', who must share one: `calibrated` rewards do. Scores of different models do not add up as they are,
 * since each has an offset and a scale of its own. Nothing is standardised by what passes by: the same answer has the
 * same reward whatever was asked before.
 * A part of weight 0 is judged and reported, and counts for nothing: a held-out reward.
 * Cost: one evaluation of each part. A part that fails fails the ensemble; one without a judgement (NaN) does too, or
 * is left out with `missing: "ignore"`.
 * Sources: mean, min and mean − λ·variance: Coste et al., arXiv:2310.02743. Weights: Xiao and Zhu, "Natural Language
 * Processing", eq. 10.72. Erratum: its further 1/K would shrink a reward whose weights sum to 1 already.
 */
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { combine, type Weighted } from "./combine.ts";
import {
  defineReward,
  type Judgement,
  judgementOf,
  type Reward,
  type RewardPrompt,
  type RewardSession,
  type RewardWorld,
  type ScoreOptions,
} from "./define.ts";
import { asParts, nestedReward } from "./nested.ts";
import { revisionOf } from "./rule.ts";

const PARTS_MAX = 16;

const partOptions = Type.Object(
  {
    reward: nestedReward,
    id: Type.Optional(
      Type.String({ minLength: 1, description: "its name in reports and weights" }),
    ),
    weight: Type.Number({ default: 1 }),
  },
  { additionalProperties: false },
);

const options = Type.Object({
  parts: Type.Array(Type.Union([Type.String({ minLength: 1 }), partOptions]), {
    minItems: 1,
    maxItems: PARTS_MAX,
    description: "ids of rewards, or {reward: id or {kind, …}, weight, id}",
  }),
  combine: Type.Enum(
    ["mean", "median", "min", "soft-min", "mean-deviation", "mean-variance", "sum"],
    { default: "mean" },
  ),
  beta: Type.Number({ exclusiveMinimum: 0, default: 1, description: "of soft-min" }),
  lambda: Type.Number({
    minimum: 0,
    default: 0.5,
    description: "of mean-deviation and mean-variance",
  }),
  missing: Type.Enum(["fail", "ignore"], {
    default: "fail",
    description: "what a part without a judgement does",
  }),
  weights_by_user: Type.Optional(
    Type.Record(Type.String(), Type.Record(Type.String(), Type.Number()), {
      description: "user → {part: weight}, in the place of those parts' own weights",
    }),
  ),
});
type Options = Static<typeof options>;

interface Part {
  readonly id: string;
  readonly reward: Reward;
  readonly weight: number;
}

export const ensemble = defineReward({
  name: "ensemble",
  description:
    "Combines several rewards: mean, median, min, soft-min, or their mean less a spread.",
  isInline: true,
  options,
  create(id, given, world) {
    const parts = partsOf(given, world);
    const weighted = parts.filter(({ weight }) => weight !== 0);
    checkWeights(given, parts, "parts");
    for (const [user, changes] of Object.entries(given.weights_by_user ?? {})) {
      checkWeights(given, reweighed(parts, changes, user), `weights_by_user.${user}`);
    }
    if (given.combine === "sum" && given.missing === "ignore") {
      throw wrong("missing", "a sum without one of its terms is another unit; use fail, or mean");
    }
    const revisions = parts.map(({ reward }) => reward.revision);
    return {
      id,
      revision: revisionOf("ensemble", given, revisions),
      acceptsPrefixes: (given.weights_by_user ? parts : weighted).every(
        ({ reward }) => reward.acceptsPrefixes,
      ),
      ...rangeOf(given, weighted),
      calls: parts.reduce((sum, { reward: { calls = 1 } }) => sum + calls, 0),
      open: (prompt, signal) =>
        openParts(id, given, { parts: weighedFor(prompt, parts, given), prompt, signal }),
    };
  },
});

/**
 * Of a combination that rises with each part, that of their lowest and of their highest values. A part that is left out,
 * or weighs otherwise for some users, could take the rest beyond it.
 */
function rangeOf(given: Options, weighted: readonly Part[]): Pick<Reward, "range"> {
  const isRising = ["mean", "median", "min", "soft-min"].includes(given.combine);
  if (!isRising || given.missing === "ignore" || given.weights_by_user) return {};
  const ranges = weighted.map(({ reward }) => reward.range ?? [-Infinity, Infinity]);
  const of = (end: 0 | 1) =>
    combine(
      given.combine,
      ranges.map((range, k) => ({ score: range[end], weight: weighted[k]!.weight })),
      given,
    );
  const range = [of(0), of(1)] as const;
  return range.some(Number.isNaN) ? {} : { range };
}

/** A part that came without a name has its reward's; a second of the same name has its place appended. */
function partsOf({ parts }: Options, world: RewardWorld): Part[] {
  const named: Part[] = [];
  for (const [at, given] of parts.entries()) {
    const { reward: asked, weight, id } = typeof given === "string" ? bare(given) : given;
    const reward = world.reward(asked);
    const isTaken = (name: string) => named.some((part) => part.id === name);
    if (id !== undefined && isTaken(id)) throw wrong(`parts.${at}.id`, `'${id}' is given twice`);
    const name = id ?? (isTaken(reward.id) ? `${reward.id}-${at + 1}` : reward.id);
    if (isTaken(name)) throw wrong(`parts.${at}`, `another part is named '${name}'; give it an id`);
    named.push({ id: name, reward, weight });
  }
  return named;
}

const bare = (reward: string) => ({ reward, weight: 1, id: undefined });

/** @throws GatewayError invalid_request when a name is no part's. */
function reweighed(
  parts: readonly Part[],
  changes: Readonly<Record<string, number>>,
  user: string,
): Part[] {
  const stray = Object.keys(changes).find((name) => !parts.some(({ id }) => id === name));
  if (stray !== undefined) {
    const names = parts.map(({ id }) => id).join(", ");
    throw wrong(`weights_by_user.${user}.${stray}`, `there is no such part; they are ${names}`);
  }
  return parts.map((part) => ({
    ...part,
    weight: Object.hasOwn(changes, part.id) ? changes[part.id]! : part.weight,
  }));
}

/** @throws GatewayError invalid_request for weights that the way of combining gives no meaning to. */
function checkWeights({ combine: way }: Options, parts: readonly Part[], where: string): void {
  if (parts.every(({ weight }) => weight === 0)) throw wrong(where, "every weight is 0");
  if (way === "sum") return;
  if (parts.some(({ weight }) => weight < 0)) {
    throw wrong(where, `weights of ${way} are not negative; sum takes such`);
  }
  const knowsWeights = way !== "median" && way !== "min";
  if (!knowsWeights && parts.some(({ weight }) => weight !== 0 && weight !== 1)) {
    throw wrong(where, `${way} knows only the weights 1, and 0 for what is merely reported`);
  }
}

function weighedFor(
  { user = null }: RewardPrompt,
  parts: readonly Part[],
  given: Options,
): readonly Part[] {
  const { weights_by_user: weightsByUser = {} } = given;
  if (user === null || !Object.hasOwn(weightsByUser, user)) return parts;
  return reweighed(parts, weightsByUser[user]!, user);
}

function openParts(
  id: string,
  given: Options,
  { parts, prompt, signal }: { parts: readonly Part[]; prompt: RewardPrompt; signal: AbortSignal },
): RewardSession {
  const sessions: RewardSession[] = [];
  const close = () => {
    for (const session of sessions) session.close();
  };
  try {
    for (const { reward } of parts) sessions.push(reward.open(prompt, signal));
  } catch (error) {
    close(); // those that did open
    throw error;
  }
  const judge = async (text: string, how?: ScoreOptions): Promise<Judgement> => {
    const judgements = await Promise.all(
      sessions.map((session) => judgementOf(session, text, how)),
    );
    const scores = judgements.map(({ reward }, k) => ({ ...parts[k]!, score: reward }));
    return {
      reward: combine(given.combine, counted(id, scores, given), given),
      parts: Object.fromEntries(judgements.flatMap((one, k) => asParts(parts[k]!.id, one))),
    };
  };
  return {
    judge,
    score: async (text, how) => (await judge(text, how)).reward,
    close,
  };
}

/** The scores that count. @throws GatewayError reward_part_missing */
function counted(
  reward: string,
  scores: readonly (Weighted & { id: string })[],
  { missing }: Options,
): readonly Weighted[] {
  const weighted = scores.filter(({ weight }) => weight !== 0);
  const present = weighted.filter(({ score }) => !Number.isNaN(score));
  if (missing === "ignore" || present.length === weighted.length) return present;
  const { id: part } = weighted.find(({ score }) => Number.isNaN(score))!;
  throw new GatewayError("reward_part_missing", { reward, part });
}

function wrong(option: string, problem: string): GatewayError {
  return new GatewayError("invalid_request", { param: `alignment.reward.${option}`, problem });
}
