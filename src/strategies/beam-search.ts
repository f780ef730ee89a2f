/**
 * Beam search with a process reward: n answers grow side by side, one step a round. After each round the finished ones
 * go aside, the best n / beam_width of the others stay, and the next round continues them n times in all, in turns; the
 * last of `iterations` rounds runs to the end. The finished answer with the highest reward is returned.
 * With `lookahead` a step is judged by what the greedy continuation of so many further steps is worth; these steps are
 * then forgotten, but paid for.
 * Cost: n steps and n reward calls a round, whole answers n/beam_width·rounds + n at most; nothing streams as final.
 * Sources: Snell et al., arXiv:2408.03314, §5.2; defaults and turns: huggingface/search-and-learn, sal/search/beam_search.py.
 */
import { Type } from "typebox";
import { defineStrategy, type StrategyResult } from "./define.ts";
import { demandChoices, refusal } from "./demands.ts";
import { answersOf, type Branch, byValue, demandVerdict, sayAnswers } from "./segments.ts";
import { type Steps, searchSteps, stepOptions } from "./steps.ts";

export const beamOptions = {
  n: Type.Integer({ minimum: 1, maximum: 128, default: 4, description: "answers side by side" }),
  beam_width: Type.Integer({
    minimum: 1,
    maximum: 128,
    default: 4,
    description: "next steps for each answer that stays; n is a multiple of it",
  }),
  iterations: Type.Integer({
    minimum: 1,
    maximum: 1000,
    default: 40,
    description: "steps at most",
  }),
  lookahead: Type.Integer({
    minimum: 0,
    maximum: 16,
    default: 0,
    description: "greedy steps that are drawn only to judge the one before them",
  }),
  ...stepOptions,
};

export const beamSearch = defineStrategy({
  name: "beam-search",
  description: "Grows several answers step by step and keeps those whose steps are judged best.",
  needsReward: true,
  options: Type.Object(beamOptions),
  async *run(input, options) {
    const { n, beam_width: width, iterations, lookahead } = options;
    demandMultiple(n, width);
    demandChoices("beam-search", input.choices, n);
    const candidates = yield* searchSteps("beam-search", input, options, async (steps) => {
      await growBeams(steps, steps.segments.root(), { n, width, iterations, lookahead });
      return steps.segments.close("budget");
    });
    const chosen = answersOf(candidates, input.choices, input.budget);
    yield* sayAnswers(candidates, chosen);
    const result = { candidates, chosen, kl: noKl, stopped: stoppedBy(candidates, input.budget) };
    yield { type: "done", result: { ...result, warnings: [] } };
  },
});

/** Searches over steps have none. */
export const noKl: StrategyResult["kl"] = { bound: null, estimate: null };

/** "complete" when no branch was ended by the budget. */
export function stoppedBy(
  candidates: StrategyResult["candidates"],
  { spent }: { readonly spent: string | null },
): string {
  const isWhole = candidates.every(
    ({ cut, reward }) => cut === "rejected" || (cut === null && reward !== null),
  );
  return isWhole ? "complete" : (spent ?? "complete");
}

export function demandMultiple(n: number, width: number): void {
  if (n % width === 0) return;
  throw refusal(
    "n",
    `${n} answers cannot be shared among beams of ${width}; n must be a multiple of beam_width`,
  );
}

export interface BeamOptions {
  readonly n: number;
  readonly width: number;
  readonly iterations: number;
  readonly lookahead: number;
}

/** Grows one tree until all of its answers have ended, or the budget has. */
export async function growBeams(
  steps: Steps,
  root: Branch,
  { n, width, iterations, lookahead }: BeamOptions,
): Promise<void> {
  const { segments, budget } = steps;
  let live: readonly Branch[] = [root];
  for (let round = 1; round <= iterations && live.length > 0; round++) {
    const segment = round === iterations ? {} : steps.step;
    const shares = live.map((_, i) => Math.floor(n / live.length) + (i < n % live.length ? 1 : 0));
    const drawn = await segments.all(
      live.map((branch, i) => segments.extend(branch, shares[i]!, segment)),
    );
    const judged = await judge(steps, drawn.flat(), lookahead);
    demandVerdict(judged, budget);
    const open = byValue(judged.filter(({ end }) => end === null));
    if (budget.spent !== null) return;
    live = open.slice(0, n / width);
    segments.reject(open.slice(n / width));
  }
}

/** Unfinished branches by what they lead to, when asked to look ahead; they have a value then, but no reward. */
async function judge(
  steps: Steps,
  branches: readonly Branch[],
  lookahead: number,
): Promise<Branch[]> {
  if (lookahead === 0) return steps.judge(branches);
  return steps.segments.all(
    branches.map(async (branch) => {
      let ahead = branch;
      for (let i = 0; i < lookahead && ahead.end === null && steps.budget.spent === null; i++) {
        ahead = await steps.segments.probe(ahead, { ...steps.step, sampling: { temperature: 0 } });
      }
      if (ahead === branch) return (await steps.judge([branch]))[0]!;
      const [judged] = await steps.judge([ahead]);
      const rewardProblem = judged!.rewardProblem ?? "it was judged by its look-ahead";
      return steps.segments.replace({ ...branch, value: judged!.value, rewardProblem });
    }),
  );
}
