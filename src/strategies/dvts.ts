/**
 * Diverse verifier tree search: n / beam_width trees that know nothing of each other, each a beam search that draws
 * beam_width next steps and keeps one. The finished answer of all trees with the highest reward is returned. More
 * diverse than one beam search of n, where one early step can take all places. One tree is beam search with n = beam_width.
 * Cost: as beam search's. Nothing streams as final before the end.
 * Source: Beeching, Tunstall, Rush, "Scaling test-time compute with open models", 2024; huggingface/search-and-learn,
 * sal/search/diverse_verifier_tree_search.py, which ends a tree when its best step ends the answer; here, as in its
 * beam search, the other steps of that tree may still go on.
 */
import { Type } from "typebox";
import { beamOptions, demandMultiple, growBeams, noKl, stoppedBy } from "./beam-search.ts";
import { defineStrategy } from "./define.ts";
import { demandChoices } from "./demands.ts";
import { answersOf, sayAnswers } from "./segments.ts";
import { searchSteps } from "./steps.ts";

export const dvts = defineStrategy({
  name: "dvts",
  description: "Beam search in several trees that do not compete, for diverse answers.",
  needsReward: true,
  options: Type.Object({
    ...beamOptions,
    n: Type.Integer({ minimum: 1, maximum: 128, default: 8, description: "answers in all trees" }),
  }),
  async *run(input, options) {
    const { n, beam_width: width, iterations, lookahead } = options;
    demandMultiple(n, width);
    demandChoices("dvts", input.choices, n);
    const trees = Array.from({ length: n / width }, (_, i) => i);
    const candidates = yield* searchSteps("dvts", input, options, async (steps) => {
      const { segments } = steps;
      const grow = (i: number) =>
        growBeams(steps, segments.root(i), { n: width, width, iterations, lookahead });
      await segments.all(trees.map(grow));
      return segments.close("budget");
    });
    const chosen = answersOf(candidates, input.choices, input.budget);
    yield* sayAnswers(candidates, chosen);
    const result = { candidates, chosen, kl: noKl, stopped: stoppedBy(candidates, input.budget) };
    yield { type: "done", result: { ...result, warnings: [] } };
  },
});
