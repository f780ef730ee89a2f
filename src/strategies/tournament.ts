/**
 * Who comes first where a reward only compares two answers. Neither knows an absolute reward, so candidates have none.
 *   knockout     pairs of neighbours in order of index, winners go on, the earlier one on a tie; whoever has no opponent
 *                goes on too. n − 1 comparisons in ⌈log₂ n⌉ rounds, of which each waits for the one before. One wrong
 *                verdict can drop the best.
 *   round-robin  everybody against everybody, n(n − 1)/2 comparisons: the highest mean preference over all others,
 *                Copeland's rule where preferences are 0, ½ and 1. Ties: the earliest.
 * Equal texts tie without being compared. A comparison that fails is a tie, and the result says how many did.
 * Sources: Copeland 1951; knockouts of answers by a pairwise judge, Liu et al., arXiv:2501.13007 (PairJudge).
 */
import { GatewayError } from "../base/errors.ts";
import type { ComparisonSession } from "../rewards/define.ts";
import type { Budget } from "./budget.ts";
import type { ScoredCandidate } from "./define.ts";
import { verdictOf } from "./draw.ts";

export const tournaments = ["knockout", "round-robin"] as const;

export interface Tournament {
  readonly session: ComparisonSession;
  readonly budget: Budget;
  readonly signal: AbortSignal;
}

export interface Standing {
  /** First choice first. */
  readonly order: readonly ScoredCandidate[];
  readonly details: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

/** So many judgements are awaited at once: a judge's line has an end. */
const AT_ONCE = 16;

/** @throws GatewayError all_candidates_failed when no comparison gave a verdict, but for want of budget */
export async function holdTournament(
  kind: (typeof tournaments)[number],
  candidates: readonly ScoredCandidate[],
  tournament: Tournament,
): Promise<Standing> {
  const judges = new Referee(tournament);
  const entrants = candidates.filter(({ tokens }) => tokens.length > 0);
  const ranked =
    kind === "knockout" ? await knockout(entrants, judges) : await roundRobin(entrants, judges);
  judges.refuseAllFailed(candidates.length);
  const others = candidates.filter((each) => !entrants.includes(each));
  const { asked: comparisons, failed } = judges;
  const warning = `${failed} of ${comparisons} comparisons gave no verdict and count as ties.`;
  return {
    order: [...ranked.order, ...others],
    details: { comparisons, ...ranked.details },
    warnings: failed > 0 ? [warning] : [],
  };
}

type Pair = readonly [ScoredCandidate, ScoredCandidate];

/** Asks, counts, and forgives a source that fails. */
class Referee {
  asked = 0;
  failed = 0;
  readonly #tournament: Tournament;
  readonly #problems = new Set<string>();

  constructor(tournament: Tournament) {
    this.#tournament = tournament;
  }

  /** @returns preferences for the first of each, as far as the budget goes. */
  async all(pairs: readonly Pair[]): Promise<number[]> {
    const preferences: number[] = [];
    for (let from = 0; from < pairs.length && this.#tournament.budget.spent === null; ) {
      const chunk = pairs.slice(
        from,
        from + Math.min(AT_ONCE, this.#tournament.budget.rewardsLeft),
      );
      preferences.push(...(await Promise.all(chunk.map((pair) => this.#prefer(pair)))));
      from += chunk.length;
    }
    return preferences;
  }

  refuseAllFailed(n: number): void {
    if (this.asked === 0 || this.failed < this.asked) return;
    throw new GatewayError("all_candidates_failed", { n, reasons: [...this.#problems] });
  }

  async #prefer([one, other]: Pair): Promise<number> {
    if (one.text === other.text) return 0.5;
    const { session, signal } = this.#tournament;
    this.asked += 1;
    const compared = session.compare(one.text, other.text);
    const judged = compared.then((preference) => ({ reward: preference, parts: {} }));
    const { reward, rewardProblem } = await verdictOf(judged, signal);
    if (reward !== null) return reward;
    this.failed += 1;
    this.#problems.add(rewardProblem ?? "no reason given");
    return 0.5;
  }
}

interface Ranked {
  readonly order: readonly ScoredCandidate[];
  readonly details?: Readonly<Record<string, number>>;
}

/** Those who lost later come before those who lost earlier. */
async function knockout(entrants: readonly ScoredCandidate[], judges: Referee): Promise<Ranked> {
  let standing = entrants;
  let lost: readonly ScoredCandidate[] = [];
  while (standing.length > 1) {
    const pairs = Array.from(
      { length: standing.length >> 1 },
      (_, k): Pair => [standing[2 * k]!, standing[2 * k + 1]!],
    );
    const preferences = await judges.all(pairs);
    if (preferences.length < pairs.length) break; // the budget is spent
    const losers = pairs.map(([one, other], k) => (preferences[k]! >= 0.5 ? other : one));
    standing = standing.filter((each) => !losers.includes(each));
    lost = [...losers, ...lost];
  }
  return { order: [...standing, ...lost] };
}

/** Detail `win_rate`: the first one's mean preference. */
async function roundRobin(entrants: readonly ScoredCandidate[], judges: Referee): Promise<Ranked> {
  const n = entrants.length;
  const places = Array.from({ length: n }, (_, i) => i);
  // neighbours first, so that a budget that ends it has compared everybody about as often
  const meetings = places.flatMap((step) =>
    step === 0 ? [] : places.slice(0, n - step).map((i) => [i, i + step] as const),
  );
  const preferences = await judges.all(
    meetings.map(([i, j]): Pair => [entrants[i]!, entrants[j]!]),
  );
  const won = places.map(() => 0);
  const met = places.map(() => 0);
  for (const [k, preference] of preferences.entries()) {
    const [i, j] = meetings[k]!;
    won[i]! += preference;
    won[j]! += 1 - preference;
    met[i]! += 1;
    met[j]! += 1;
  }
  const rates = places.map((i) => (met[i] === 0 ? 0.5 : won[i]! / met[i]!));
  const best = places.toSorted((a, b) => rates[b]! - rates[a]!); // stable
  const winRate = n > 0 ? { win_rate: rates[best[0]!]! } : {};
  return { order: best.map((i) => entrants[i]!), details: winRate };
}
