/** Demonstrations for supervised training, flaws included: there is something left to align. */
import { createRandom } from "../base/random.ts";
import { pick } from "./draw.ts";
import { sftMixture } from "./mixtures.ts";
import { makeReply, promptOf } from "./prompts.ts";
import { type CorpusPrompt, type CorpusReply, domains, type Mixture } from "./types.ts";

export interface SftExample {
  readonly prompt: CorpusPrompt;
  readonly reply: CorpusReply;
}

/** Endless, reproducible, train side only, both domains equally often. */
export function* sftExamples(
  seed: number,
  mixture: Mixture = sftMixture,
): Generator<SftExample, never> {
  const random = createRandom(seed);
  for (;;) {
    const prompt = promptOf(pick(random, domains), "train", random);
    yield { prompt, reply: makeReply(prompt, random, mixture) };
  }
}
