/**
 * A reward model beside a policy that grows an answer token by token: both read the same tokens, so the model's keys
 * and values live as long as the answer and each alternative costs one new token. It judges the tokens as they were
 * drawn: where a text could be cut into tokens otherwise, `score` of that text differs.
 * Cost: one run a step, shared with whoever is judged then, of one token for each alternative (`RUN_ROWS_MAX` of them
 * at most) and the end of the turn where that is asked for. Unit: the model's own, unsquashed.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { Scorer, ScoringSession } from "../engine/types.ts";
import type { GuideOptions, NoGuide, RewardGuide } from "./define.ts";

/** Alternatives of one run: beyond it the memory of a run grows and its speed does not. */
const RUN_ROWS_MAX = 256;

export interface RewardGuideParts {
  readonly id: string;
  readonly scorer: Scorer;
  readonly session: ScoringSession;
  /** Which of the scorer's labels is the reward. */
  readonly label: number;
  /** Up to where the answer begins. */
  readonly prompt: readonly number[];
  /** What the template puts behind an answer; null when it renders an answer otherwise than token by token. */
  readonly turnEnd: readonly number[] | null;
  /** Ids that the model knows. */
  readonly vocabSize: number;
}

/** @throws GatewayError answer_too_long when not even one token fits; invalid_request where the model cannot */
export async function createRewardGuide(
  { id: reward, scorer, session, label, prompt, turnEnd, vocabSize }: RewardGuideParts,
  { endTokens, at }: GuideOptions,
): Promise<RewardGuide | NoGuide> {
  if (turnEnd === null) return { problem: "its chat template does not go on token by token" };
  const { contextTokens: limit } = scorer;
  const tokensMax = limit - prompt.length - turnEnd.length;
  if (tokensMax < 1) {
    const tokens = prompt.length + turnEnd.length + 1;
    throw new GatewayError("answer_too_long", { reward, tokens, limit });
  }
  const growing = await session.grow();
  const [ending, ...afterEnding] = turnEnd;
  let run: readonly number[] = [];
  let asked: readonly number[] = [];
  /** The scores of some alternatives; an end is the template's, however the policy says it. */
  const scores = async (ids: readonly number[]) => {
    const isEnd = (token: number) => endTokens.has(token);
    run = ids;
    const rows = await growing.branch(
      ids.map((token) => (isEnd(token) ? ending! : token)),
      ids.map((token) => (isEnd(token) ? afterEnding : at === "token" ? [] : turnEnd)),
    );
    return rows.map((row) => row[label]!);
  };
  return {
    tokensMax,
    warning: scorer.growsInPlace
      ? null
      : `The reward '${reward}' keeps nothing of what it has read: each step reads the whole answer anew.`,
    async branch(ids) {
      const known = ids.filter((token) => token < vocabSize || endTokens.has(token));
      const judged = new Map<number, number>();
      for (let from = 0; from < known.length; from += RUN_ROWS_MAX) {
        const chunk = known.slice(from, from + RUN_ROWS_MAX);
        for (const [i, score] of (await scores(chunk)).entries()) judged.set(chunk[i]!, score);
      }
      asked = ids;
      return ids.map((token) => judged.get(token) ?? Number.NaN);
    },
    async accept(index) {
      const token = asked[index];
      assert(token !== undefined, `there is no alternative ${index} of ${asked.length}`);
      if (endTokens.has(token)) return;
      if (!run.includes(token)) await scores([token]); // it was in an earlier run of the same step
      growing.accept(run.indexOf(token));
    },
    close: () => growing.close(),
  };
}
