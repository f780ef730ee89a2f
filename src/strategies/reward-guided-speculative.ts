/**
 * Reward-guided speculative decoding: a small draft model proposes each step; the process reward's score of the step
 * decides whether it stands (score ≥ threshold) or the request's own model writes that step instead. Unlike speculative
 * decoding the law is neither model's: what counts is that a step is good, not that the large model would have said it.
 * threshold 0: the draft alone; above 1: the policy alone. A proposal that has no step yet counts as 0, one that a
 * failing source leaves unjudged as rejected.
 * Cost: the draft's answer, the rejected share of steps again by the policy, a reward call a proposal and one an answer.
 * Streams truly: a step that stands is final. Several choices are as many searches side by side.
 * Log-probabilities of tokens are those of the model that wrote them.
 * Source: Liao et al., arXiv:2501.19324; 0.7 is the paper's usual threshold.
 */
import { Type } from "typebox";
import { splitSeed } from "../base/random.ts";
import { noKl } from "./beam-search.ts";
import { defineStrategy, type StrategyInput } from "./define.ts";
import { demandSameTokens } from "./demands.ts";
import type { Branch } from "./segments.ts";
import { type Steps, searchSteps, stepOptions } from "./steps.ts";

export const rewardGuidedSpeculative = defineStrategy({
  name: "reward-guided-speculative",
  description: "A draft model proposes steps; the policy writes those that are not good enough.",
  needsReward: true,
  options: Type.Object({
    draft: Type.String({
      default: "",
      description: "id of the model that proposes; the request's own when nothing is said",
    }),
    threshold: Type.Number({
      minimum: 0,
      default: 0.7,
      description: "score from which a proposed step stands",
    }),
    ...stepOptions,
  }),
  async *run(input, options) {
    const draft = options.draft === "" ? input.policy : input.models.policy(options.draft);
    demandSameTokens(input.policy, draft, "draft");
    const search = async (steps: Steps) => {
      const { segments } = steps;
      const parts = { steps, draft, threshold: options.threshold };
      const starts = Array.from({ length: input.choices }, (_, choice) => choice);
      const grown = await segments.all(starts.map((choice) => growSteps(choice, parts)));
      return { grown, candidates: segments.close("budget") };
    };
    const { grown, candidates } = yield* searchSteps(
      "reward-guided-speculative",
      input,
      options,
      search,
    );
    const chosen = grown.map(({ branch }) => branch.index!);
    const isWhole = grown.every(({ branch }) => branch.end !== null);
    const stopped = isWhole ? "complete" : input.budget.spent!;
    const [proposed, stood] = [sum(grown, "proposed"), sum(grown, "stood")];
    const warnings = [`${stood} of ${proposed} steps that the draft proposed stand.`];
    yield { type: "done", result: { candidates, chosen, kl: noKl, stopped, warnings } };
  },
});

interface Grown {
  readonly branch: Branch;
  readonly proposed: number;
  readonly stood: number;
}

const sum = (grown: readonly Grown[], key: "proposed" | "stood") =>
  grown.reduce((total, each) => total + each[key], 0);

interface Parts {
  readonly steps: Steps;
  readonly draft: StrategyInput["policy"];
  readonly threshold: number;
}

async function growSteps(choice: number, { steps, draft, threshold }: Parts): Promise<Grown> {
  const { segments, budget, step } = steps;
  let branch = segments.root(choice);
  let [proposed, stood] = [0, 0];
  do {
    const [proposal] = await segments.extend(branch, 1, { ...step, policy: draft });
    const { judged, score } = await judgeLast(steps, proposal!);
    proposed++;
    let next = judged;
    if (score >= threshold) stood++;
    else if (budget.spent === null) {
      segments.reject([judged]);
      const start = { ...branch, index: null, seed: splitSeed(branch.seed, 1) };
      const [own] = await segments.extend(start, 1, step);
      next = own!.end === null && budget.spent === null ? own! : (await steps.judge([own!]))[0]!;
    }
    const tokens = next.tokens.slice(branch.tokens.length);
    const text = next.text.slice(branch.text.length);
    segments.emit({ type: "text-delta", choice, text, tokens });
    branch = next;
  } while (branch.end === null && budget.spent === null);
  return { branch, proposed, stood };
}

/** The branch with its reward, and the score of its last step alone; −∞ when the source failed. */
async function judgeLast(steps: Steps, branch: Branch): Promise<{ judged: Branch; score: number }> {
  let score = Number.NEGATIVE_INFINITY;
  const judged = await steps.segments.judge(branch, async (each) => {
    const scores = await steps.scores(each);
    score = scores.steps.at(-1) ?? 0;
    return { reward: scores.reward, parts: {} };
  });
  return { judged, score };
}
