/**
 * Speculative rejection: best-of-n that gives up on what looks bad early. At growing lengths L₁ < L₂ < … every answer in
 * the pool is judged as far as it got, and the worst share α leaves: of m answers max(round((1 − α)·m), choices) stay,
 * halves rounded to even. Decoding does not wait for the verdicts; whoever is cut frees its slot for others' requests.
 * Answers that ended before Lⱼ are in the pool with their reward; the best of them and of those never cut is returned,
 * so a cut-off text never wins. What is cut follows from the tokens alone, not from how fast the reward answers.
 * Cost: at most n answers; Σⱼ |pool of Lⱼ that is unfinished| + n reward calls. Nothing streams as final before the end.
 * KL ≤ ln n, as for whoever picks one of n independent draws.
 * Source: Sun et al., arXiv:2410.20290; unlike its code, at least one answer stays and finishes.
 */
import { Type } from "typebox";
import { eventStream } from "../base/event-stream.ts";
import type { Transcribed } from "../registry/types.ts";
import { judgementOf, type RewardSession } from "../rewards/define.ts";
import {
  defineStrategy,
  type ScoredCandidate,
  type StrategyEvent,
  type StrategyInput,
} from "./define.ts";
import { allFailed, demandChoices, demandPrefixes, refusal } from "./demands.ts";
import { drawAndScore, verdictOf } from "./draw.ts";
import { sayAnswers } from "./segments.ts";

const lengthsDefault = [16, 32, 64, 128, 256, 512, 1024, 2048];

export const speculativeRejection = defineStrategy({
  name: "speculative-rejection",
  description: "Draws candidates at once and cuts those that look bad while they are drawn.",
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
    const { candidates, partial } = yield* eventStream<StrategyEvent, Outcome>(
      input.signal,
      async (emit, signal) => {
        signal.throwIfAborted();
        const session = reward.open(input.rewardPrompt, signal);
        const pool = new Pool({ n, alpha, lengths, keepMin: input.choices, session, signal });
        const shared = { ...reward, open: () => ({ ...session, close: () => undefined }) };
        try {
          const drawn = await drawAndScore({ ...input, reward: shared }, n, {
            signal,
            emit,
            onText: (index, text) => emit({ type: "candidate-delta", index, text }),
            cut: (index, answer) => pool.cut(index, answer),
            onJudged: (candidate) => pool.finished(candidate),
          });
          await pool.settled();
          return { candidates: drawn, partial: pool };
        } finally {
          session.close();
        }
      },
    );
    const chosen = choose(candidates, partial, input);
    yield* sayAnswers(candidates, chosen);
    const isWhole = candidates.every(
      ({ cut, reward: r }) => cut === "rejected" || (!cut && r !== null),
    );
    const stopped = isWhole ? "complete" : (input.budget.spent ?? "complete");
    const kl = { bound: Math.log(n), estimate: null };
    const { warnings } = partial;
    yield { type: "done", result: { candidates, chosen, kl, stopped, warnings } };
  },
});

interface Outcome {
  readonly candidates: readonly ScoredCandidate[];
  readonly partial: Pool;
}

/** How many of the pool stay: Python's round((1 − α)·m), which rounds halves to even. */
export function keptOf(pool: number, alpha: number): number {
  const exact = (1 - alpha) * pool;
  const down = Math.floor(exact);
  const rest = exact - down;
  if (Math.abs(rest - 0.5) < 1e-9) return down % 2 === 0 ? down : down + 1;
  return Math.round(exact);
}

interface PoolOptions {
  readonly n: number;
  readonly alpha: number;
  readonly lengths: readonly number[];
  readonly keepMin: number;
  readonly session: RewardSession;
  readonly signal: AbortSignal;
}

/** One answer of the pool. */
interface Row {
  readonly index: number;
  /** Of its first `lengths[j]` tokens; missing while the verdict is awaited. */
  readonly scores: Map<number, number | null>;
  /** Tokens drawn so far. */
  length: number;
  /** Known once it ended by itself. */
  ended: ScoredCandidate | null;
}

class Pool {
  readonly warnings: string[] = [];
  readonly #options: PoolOptions;
  readonly #rows: readonly Row[];
  #inside: ReadonlySet<Row>;
  readonly #isCut = new Set<number>();
  readonly #asked: Promise<void>[] = [];
  /** The length that is to be decided next. */
  #round = 0;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#rows = Array.from({ length: options.n }, (_, index) => ({
      index,
      scores: new Map(),
      length: 0,
      ended: null,
    }));
    this.#inside = new Set(this.#rows);
  }

  /** Asked after every token of a row. */
  cut(index: number, { tokens, text }: Transcribed): "rejected" | null {
    if (this.#isCut.has(index)) return "rejected";
    const row = this.#rows[index]!;
    row.length = tokens.length;
    const round = this.#options.lengths.indexOf(tokens.length, this.#round);
    if (round >= 0) this.#ask(row, round, text);
    return null;
  }

  finished(candidate: ScoredCandidate): void {
    const row = this.#rows[candidate.index]!;
    row.length = candidate.tokens.length;
    row.ended = candidate;
    this.#decide();
  }

  /** Every verdict that was asked for has come. */
  async settled(): Promise<void> {
    await Promise.all(this.#asked);
  }

  /** Whether a comparison decided against it, also where it had ended before the verdict came. */
  isCut(index: number): boolean {
    return this.#isCut.has(index);
  }

  /** Its reward, or that of its longest beginning that was judged. */
  rewardOf({ index, reward }: ScoredCandidate): number | null {
    return reward ?? [...this.#rows[index]!.scores.values()].at(-1) ?? null;
  }

  #ask(row: Row, round: number, text: string): void {
    const { session, signal } = this.#options;
    const asked = verdictOf(judgementOf(session, text, { isFinished: false }), signal).then(
      ({ reward }) => {
        row.scores.set(round, reward);
        this.#decide();
      },
    );
    asked.catch(() => {}); // NOTE: awaited by `settled`; an earlier rejection must not count as unhandled
    this.#asked.push(asked);
  }

  /** Decides every round whose verdicts are all there. */
  #decide(): void {
    const { lengths, alpha, keepMin } = this.#options;
    for (; this.#round < lengths.length; this.#round++) {
      const pool = [...this.#inside];
      const standings = pool.map((row) => this.#standing(row));
      if (standings.some((score) => score === undefined)) return;
      if (pool.every((row) => this.#hasEnded(row))) return;
      if (standings.every((score) => score === null)) {
        this.warnings.push(`No candidate could be judged after ${lengths[this.#round]} tokens.`);
        continue;
      }
      const rank = (i: number) => standings[i] ?? Number.NEGATIVE_INFINITY;
      const order = [...pool.keys()].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a)));
      const kept = Math.max(keptOf(pool.length, alpha), keepMin);
      for (const i of order.slice(kept)) {
        if (!this.#hasEnded(pool[i]!)) this.#isCut.add(pool[i]!.index);
      }
      this.#inside = new Set(order.slice(0, kept).map((i) => pool[i]!));
    }
  }

  /** Whether it ended before the length that is to be decided. */
  #hasEnded({ ended, length, scores }: Row): boolean {
    const isShort = length < this.#options.lengths[this.#round]!;
    return ended !== null && isShort && !scores.has(this.#round);
  }

  /** What it is compared by in this round; undefined: not yet known. */
  #standing(row: Row): number | null | undefined {
    return this.#hasEnded(row) ? row.ended!.reward : row.scores.get(this.#round);
  }
}

/** Those that ended and were never cut, best first; then those that the budget ended, by what is known of them. */
function choose(
  candidates: readonly ScoredCandidate[],
  pool: Pool,
  { choices, budget }: StrategyInput,
): number[] {
  if (candidates.every(({ reward }) => reward === null) && budget.spent === null) {
    throw allFailed(candidates);
  }
  const rank = (candidate: ScoredCandidate) => {
    if (candidate.cut === "rejected") return 0;
    if (pool.isCut(candidate.index)) return 1;
    return candidate.cut === "budget" || candidate.reward === null ? 2 : 3;
  };
  const value = (candidate: ScoredCandidate) => pool.rewardOf(candidate) ?? -Number.MAX_VALUE;
  return candidates
    .toSorted((a, b) => rank(b) - rank(a) || value(b) - value(a))
    .slice(0, choices)
    .map(({ index }) => index);
}
