/** The gold reward: exact, deterministic, defined for any text. Scales: `support/gold.ts`, `arithmetic/gold.ts`. */
import { goldOfSolution } from "./arithmetic/gold.ts";
import { goldOfReply } from "./support/gold.ts";
import type { CorpusPrompt, Domain, GoldReward } from "./types.ts";

/** What a reply with nothing wrong gets. */
export const bestGold: Readonly<Record<Domain, number>> = { support: 3.5, arithmetic: 2 };

export function goldReward(prompt: CorpusPrompt, reply: string): GoldReward {
  const { facts } = prompt;
  return facts.domain === "support" ? goldOfReply(facts, reply) : goldOfSolution(facts, reply);
}
