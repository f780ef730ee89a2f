/** Demonstrations for supervised training, flaws included: there is something left to align. */
import { createRandom } from "../base/random.ts";
import { chance } from "./draw.ts";
import { sftMixture } from "./mixtures.ts";
import { makeReply, promptOf } from "./prompts.ts";
import type { CorpusPrompt, CorpusReply, Mixture } from "./types.ts";

export interface SftExample {
  readonly prompt: CorpusPrompt;
  readonly reply: CorpusReply;
}

/** Endless, reproducible, train side only. */
export function* sftExamples(
  seed: number,
  mixture: Mixture = sftMixture,
  arithmeticShare = 0.5,
): Generator<SftExample, never> {
  const random = createRandom(seed);
  for (;;) {
    const domain = chance(random, arithmeticShare) ? "arithmetic" : "support";
    const prompt = promptOf(domain, "train", random);
    yield { prompt, reply: makeReply(prompt, random, mixture) };
  }
}
