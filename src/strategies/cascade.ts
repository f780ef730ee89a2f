/**
 * Cascade, small to large: the first member answers; where its answer does not suffice the next is asked, and so on.
 * `accept` says what suffices:
 *   reward     the best of its n candidates has a reward of `threshold` or more;
 *   agreement  the most frequent final answer among its n has a share of the votes of `threshold` or more (draw several);
 *              the best by reward of those that give it answers.
 * Where no member suffices, `reward` answers with the best of all members' candidates, `agreement` with the last member's
 * vote; both with a warning and `stopped` other than "accepted".
 * Cost: n generations and reward evaluations for each member that is asked. With costs c₁ < c₂ and a share e of requests
 * handed on, c₁ + e·c₂ instead of c₂. Final: when a member suffices, after its last candidate is judged.
 * Detail `asked`: how many members were. KL: none is known; the law is not the request's.
 * Sources: Xiao & Zhu, Foundations of Large Language Models, section 10.2.5 (criterion left open); Chen et al.,
 * arXiv:2305.05176 (a scorer's threshold); Yue et al., arXiv:2310.03094 (agreement of samples).
 */
import { Type } from "typebox";
import { splitSeed } from "../base/random.ts";
import {
  defineStrategy,
  type ScoredCandidate,
  type StrategyInput,
  type StrategyResult,
} from "./define.ts";
import { drawAndScore } from "./draw.ts";
import { type Member, memberInput, memberProperties } from "./members.ts";
import { bestFirst } from "./ranking.ts";
import { Commits, type Emit, searchEvents } from "./search.ts";
import { answerReader, type Ballot, ballotOptions, countVotes, voteDetails } from "./votes.ts";

interface Options extends Ballot {
  readonly members: readonly Member[];
  readonly n: number;
  readonly accept: "reward" | "agreement";
  readonly threshold: number;
}

export const cascade = defineStrategy({
  name: "cascade",
  description:
    "Asks models from small to large until an answer's reward, or the agreement of several, suffices.",
  needsReward: true,
  options: Type.Object({
    members: Type.Array(Type.Object(memberProperties, { additionalProperties: false }), {
      minItems: 1,
      maxItems: 8,
      default: [{}],
      description: "whom to ask, in this order: a model, a temperature, a top_p",
    }),
    n: Type.Integer({
      minimum: 1,
      maximum: 64,
      default: 1,
      description: "candidates of each member; at least as many as choices are drawn",
    }),
    accept: Type.Enum(["reward", "agreement"], {
      default: "reward",
      description:
        "what must reach the threshold: the best reward, or the share of the commonest answer",
    }),
    threshold: Type.Number({
      default: 0,
      description: "at least this suffices; for agreement between 0 and 1",
    }),
    ...ballotOptions,
  }),
  async *run(input, options) {
    yield* searchEvents(input, (searched, emit) => search(searched, options, emit));
  },
});

async function search(input: StrategyInput, options: Options, emit: Emit): Promise<StrategyResult> {
  const { reward, rewardPrompt, signal, sampling, budget, choices } = input;
  signal.throwIfAborted();
  const members = options.members.map((member, k) =>
    memberInput(input, member, k === 0 ? sampling.seed : splitSeed(sampling.seed, k)),
  );
  const commits = new Commits(choices, emit);
  const session = reward?.open(rewardPrompt, signal) ?? null;
  const candidates: ScoredCandidate[] = [];
  let level: Level | null = null;
  let asked = 0;
  try {
    for (const { input: own, source } of members) {
      if (level?.isEnough || (level && budget.spent !== null)) break;
      const drawn = await drawAndScore(own, Math.max(options.n, choices), {
        signal,
        emit,
        session,
        source,
        from: candidates.length,
        onText: (index, text) => emit({ type: "candidate-delta", index, text }),
      });
      candidates.push(...drawn);
      level = levelOf(drawn, candidates, options);
      asked += 1;
    }
  } finally {
    session?.close();
  }
  for (const candidate of level?.order ?? []) commits.commit(candidate);
  for (const candidate of bestFirst(candidates)) commits.commit(candidate);
  const isAccepted = level?.isEnough ?? false;
  return {
    candidates,
    chosen: commits.chosen,
    kl: { bound: null, estimate: null },
    stopped: budget.spent ?? (isAccepted ? "accepted" : "complete"),
    warnings: isAccepted ? [] : [notEnough(options, asked)],
    details: { asked },
  };
}

interface Level {
  readonly isEnough: boolean;
  /** Who answers if the search ends here. */
  readonly order: readonly ScoredCandidate[];
}

/** @param all of the members so far, `drawn` of the last among them. */
function levelOf(
  drawn: readonly ScoredCandidate[],
  all: readonly ScoredCandidate[],
  { accept, threshold, ...ballot }: Options,
): Level {
  const highest = Math.max(...drawn.map(({ reward }) => reward ?? Number.NEGATIVE_INFINITY));
  if (accept === "reward") {
    const isEnough = highest >= threshold;
    const isJudged = highest > Number.NEGATIVE_INFINITY;
    return { isEnough, order: isJudged ? bestFirst(isEnough ? drawn : all) : [] };
  }
  const parties = countVotes(drawn, answerReader(ballot), () => 1);
  const { share } = voteDetails(parties);
  const order = parties.flatMap(({ members }) =>
    members.toSorted(
      (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity) || a.index - b.index,
    ),
  );
  return { isEnough: parties.length > 0 && share! >= threshold, order };
}

function notEnough({ accept, threshold }: Options, asked: number): string {
  const what = accept === "reward" ? "a reward" : "an agreement";
  return `None of the ${asked} members that were asked reached ${what} of ${threshold}.`;
}
