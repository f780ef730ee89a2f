/** The implicit reward on tabular policies, where every answer and its probability can be listed. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { compileOptions } from "../../src/base/options.ts";
import { createSpeaker } from "../../src/registry/speaker.ts";
import { implicit } from "../../src/rewards/implicit.ts";
import { open } from "../support/reward-world.ts";
import { type Law, listCompletions, tabularGenerator } from "../support/tabular-generator.ts";
import { end, law, tabularPolicy, tempered, tokenizer } from "../support/tabular-policy.ts";

const letters = ["a", "b", "c"].map((letter) => tokenizer.idOf(letter)!);
const even: Law = () => new Map([...letters, end].map((id) => [id, 0.25]));
const laws: Readonly<Record<string, Law>> = { policy: law, tempered: tempered(2), even };

const speaker = (id: string) => {
  const { vocabSize } = tokenizer;
  const generator = tabularGenerator({ law: laws[id]!, vocabSize, revision: id });
  return createSpeaker(tabularPolicy({ id, generator }));
};
const world = {
  speaker,
  reward: () => {
    throw new Error("no rewards here");
  },
  clock: systemClock,
};
const made = (options: Readonly<Record<string, unknown>>) =>
  implicit.create(
    "mine",
    compileOptions(implicit, "reward")({ policy: "policy", ...options }),
    world,
  );

describe("the implicit reward", () => {
  test("of ab is β·ln(0.4 · 0.5 · 0.4 · 4³), its end included", async () => {
    const session = open(made({ reference: "even" }));
    expect(await session.score("ab")).toBeCloseTo(0.1 * Math.log(5.12), 7);
    session.close();
  });

  test("of an unfinished ab is β·ln(0.4 · 0.5 · 4²)", async () => {
    const session = open(made({ reference: "even", beta: 2 }));
    expect(await session.score("ab", { isFinished: false })).toBeCloseTo(2 * Math.log(3.2), 6);
    expect(await session.score("", { isFinished: false })).toBe(0);
    session.close();
  });

  test("can be the mean of its tokens", async () => {
    const session = open(made({ reference: "even", beta: 1, normalise: "tokens" }));
    expect(await session.score("ab")).toBeCloseTo(Math.log(5.12) / 3, 6);
    expect(await session.score("", { isFinished: false })).toBe(0);
    session.close();
  });

  test.each(["tempered", "even"])(
    "turns the reference %s into the policy: Σ π_ref·exp(r/β) = 1, and each term is π",
    async (reference) => {
      const beta = 0.5;
      const session = open(made({ reference, beta }));
      const probabilityOf = (tokens: readonly number[]) =>
        tokens.reduce((product, id, t) => product * law(tokens.slice(0, t)).get(id)!, 1);
      let total = 0;
      for (const { tokens, probability } of listCompletions(laws[reference]!, end, 4)) {
        const reward = await session.score(tokenizer.decode(tokens), {
          isFinished: tokens.at(-1) === end,
        });
        const tilted = probability * Math.exp(reward / beta);
        expect(tilted).toBeCloseTo(probabilityOf(tokens), 6);
        total += tilted;
      }
      expect(total).toBeCloseTo(1, 5);
      session.close();
    },
  );

  test("accepts prefixes, and refuses a reference that is the policy", () => {
    expect(made({ reference: "even" }).acceptsPrefixes).toBe(true);
    expect(() => made({ reference: "policy" })).toThrow(/is the policy itself/);
  });
});
