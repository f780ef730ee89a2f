/**
 * Sample: draw as many completions as choices were asked for, and return them all, in order.
 * Cost: `choices` generations in one batch; one reward evaluation each when a reward is named.
 * The text streams as it is drawn. KL = 0: the answer follows the sampling law itself.
 * A reward is only reported; it changes neither the answers nor their order.
 */
import { Type } from "typebox";
import { eventStream } from "../base/event-stream.ts";
import { defineStrategy, type ScoredCandidate, type StrategyEvent } from "./define.ts";
import { drawAndScore } from "./draw.ts";

export const sample = defineStrategy({
  name: "sample",
  description: "Draws each choice once and streams it as it is drawn; no search.",
  needsReward: false,
  options: Type.Object({}),
  async *run(input) {
    const candidates = yield* eventStream<StrategyEvent, ScoredCandidate[]>(
      input.signal,
      (emit, signal) =>
        drawAndScore(input, input.choices, {
          signal,
          emit,
          onText: (choice, text, tokens) =>
            emit({ type: "text-delta", choice, text, tokens, candidate: choice }),
        }),
    );
    const chosen = candidates.map((candidate) => candidate.index);
    const kl = { bound: 0, estimate: 0 };
    const stopped = input.budget.spent ?? "complete";
    yield { type: "done", result: { candidates, chosen, kl, stopped, warnings: [] } };
  },
});
