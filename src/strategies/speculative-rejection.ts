/**
 * Speculative rejection: best-of-n that gives up on what looks bad early. At growing lengths L₁ < L₂ < … all answers that
 * are still in the pool pause, each is judged as far as it got, and the worst share α leaves: of m answers
 * max(round((1 − α)·m), choices) stay, halves rounded to even; the others' slots serve other requests meanwhile.
 * Answers that ended before Lⱼ are in the pool with their reward. The best of all that ended is returned, so a cut-off
 * text never wins. α = 0 cuts nobody and is best-of-n, without a pause.
 * Cost: exactly Σⱼ Σ over the pool after Lⱼ₋₁ of min(length, Lⱼ) − Lⱼ₋₁ tokens, L₀ = 0, the pool after L₀ being all n and
 * the last Lⱼ no limit; a reward call for every unfinished answer at each length and for every one that ends.
 * After a pause an answer is read again, in one run, but for what the prefix cache kept: `Work` counts that, tokens do not.
 * Nothing streams as final before the end. KL ≤ ln n − (n − 1)/n: see `bestOfNBound`.
 * Source: Sun et al., arXiv:2410.20290, whose lengths are where memory runs full; here they are an option. Unlike its
 * code, at least one answer stays and finishes, and who ended and was outdone by unfinished ones may still win.
 */
import { Type } from "typebox";
import type { RewardSession } from "../rewards/define.ts";
import { defineStrategy, type StrategyInput } from "./define.ts";
import { demandChoices, demandPrefixes, refusal } from "./demands.ts";
import { bestOfNBound } from "./kl.ts";
import { someFailed } from "./ranking.ts";
import {
  answersOf,
  asking,
  type Branch,
  byValue,
  type Segments,
  sayAnswers,
  searchSegments,
} from "./segments.ts";

const lengthsDefault = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];

export const speculativeRejection = defineStrategy({
  name: "speculative-rejection",
  description: "Draws candidates at once and cuts those that look bad at growing lengths.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 16, description: "candidates to draw" }),
    alpha: Type.Number({
      minimum: 0,
      exclusiveMaximum: 1,
      default: 0.5,
      description: "share of the pool that is cut at each length",
    }),
    lengths: Type.Array(Type.Integer({ minimum: 1 }), {
      default: lengthsDefault,
      description: "tokens after which candidates are compared, ascending",
    }),
  }),
  async *run(input, { n, alpha, lengths }) {
    const reward = demandPrefixes("speculative-rejection", input.reward);
    demandChoices("speculative-rejection", input.choices, n);
    if (lengths.some((length, i) => i > 0 && length <= lengths[i - 1]!)) {
      throw refusal("lengths", "each length must be greater than the one before it");
    }
    const open = (signal: AbortSignal) => reward.open(input.rewardPrompt, signal);
    const warnings: string[] = [];
    const candidates = yield* searchSegments(input, open, async (segments, session) => {
      const { budget, choices: keepMin } = input;
      const pauses = alpha === 0 ? [] : lengths;
      await narrow({ segments, session, budget, warnings }, { n, alpha, lengths: pauses, keepMin });
      return segments.close("budget");
    });
    const chosen = answersOf(candidates, input.choices, input.budget);
    yield* sayAnswers(candidates, chosen);
    const isWhole = candidates.every(
      ({ cut, reward: r }) => cut === "rejected" || (!cut && r !== null),
    );
    const stopped = isWhole ? "complete" : (input.budget.spent ?? "complete");
    const kl = { bound: someFailed(candidates) ? null : bestOfNBound(n), estimate: null };
    yield { type: "done", result: { candidates, chosen, kl, stopped, warnings } };
  },
});

interface Parts {
  readonly segments: Segments;
  readonly session: RewardSession;
  readonly budget: StrategyInput["budget"];
  readonly warnings: string[];
}

interface Narrowing {
  readonly n: number;
  readonly alpha: number;
  readonly lengths: readonly number[];
  readonly keepMin: number;
}

/** Until all that are left have ended, or the budget has. */
async function narrow(
  { segments, session, budget, warnings }: Parts,
  { n, alpha, lengths, keepMin }: Narrowing,
): Promise<void> {
  const judge = (branch: Branch) => segments.judge(branch, asking(session));
  /** Goes on to the length; those that have ended stay what they are. */
  const grow = async (branch: Branch, length: number) => {
    if (branch.end !== null) return branch;
    const tokensMax = length - branch.tokens.length;
    return judge((await segments.extend(branch, 1, { tokensMax }))[0]!);
  };
  const [first = Number.POSITIVE_INFINITY, ...further] = lengths;
  const started = await segments.extend(segments.root(), n, { tokensMax: first });
  let pool = await segments.all(started.map(judge));
  let length = first;
  for (const next of [...further, Number.POSITIVE_INFINITY]) {
    if (budget.spent !== null || pool.every(({ end }) => end !== null)) return;
    if (pool.every(({ value }) => value === null)) {
      warnings.push(`No candidate could be judged after ${length} tokens.`);
    } else {
      const kept = Math.max(keptOf(pool.length, alpha), keepMin);
      const rejected = byValue(pool).slice(kept);
      segments.reject(rejected);
      pool = pool.filter((branch) => !rejected.includes(branch));
    }
    pool = await segments.all(pool.map((branch) => grow(branch, next)));
    length = next;
  }
}

/** How many of the pool stay: Python's round((1 − α)·m), which rounds halves to even. */
export function keptOf(pool: number, alpha: number): number {
  const exact = (1 - alpha) * pool;
  const down = Math.floor(exact);
  const rest = exact - down;
  if (Math.abs(rest - 0.5) < 1e-9) return down % 2 === 0 ? down : down + 1;
  return Math.round(exact);
}
