/** Prompts of either domain, endless streams of them by side, and replies of mixed quality. */
import { createRandom, type Random } from "../base/random.ts";
import { makeArithmeticPrompt } from "./arithmetic/problem.ts";
import { makeSolution } from "./arithmetic/solution.ts";
import { sftMixture } from "./mixtures.ts";
import { promptId, split } from "./split.ts";
import { makeSupportPrompt } from "./support/messages.ts";
import { makeSupportReply } from "./support/reply.ts";
import type { CorpusPrompt, CorpusReply, Domain, Mixture, Split } from "./types.ts";

/** A prompt of either side; `prompts` is for one side. */
export function makePrompt(domain: Domain, random: Random): CorpusPrompt {
  const { content, facts } =
    domain === "support" ? makeSupportPrompt(random) : makeArithmeticPrompt(random);
  return { id: promptId(domain, content), domain, messages: [{ role: "user", content }], facts };
}

/** Endless and reproducible; a prompt can come twice, a prompt of the other side never. */
export function* prompts(
  domain: Domain,
  side: Split,
  seed: number,
): Generator<CorpusPrompt, never> {
  const random = createRandom(seed);
  for (;;) yield promptOf(domain, side, random);
}

/** The next prompt of the side. */
export function promptOf(domain: Domain, side: Split, random: Random): CorpusPrompt {
  for (;;) {
    const prompt = makePrompt(domain, random);
    if (split(prompt.messages[0]!.content) === side) return prompt;
  }
}

/** A reply with flaws drawn from the mixture, given the prompt. */
export function makeReply(
  prompt: CorpusPrompt,
  random: Random,
  mixture: Mixture = sftMixture,
): CorpusReply {
  const { facts } = prompt;
  return facts.domain === "support"
    ? makeSupportReply(facts, random, mixture.support)
    : makeSolution(facts, random, mixture);
}
