/** Every strategy. Routes, command line, documentation and the shared test suite read this list. */
import { GatewayError } from "../base/errors.ts";
import { beamSearch } from "./beam-search.ts";
import { bestOfN } from "./best-of-n.ts";
import { blockwise } from "./blockwise.ts";
import { cards } from "./cards.ts";
import type { Strategy } from "./define.ts";
import { dvts } from "./dvts.ts";
import { mcts } from "./mcts.ts";
import { particleFiltering } from "./particle-filtering.ts";
import { rewardGuidedSpeculative } from "./reward-guided-speculative.ts";
import { sample } from "./sample.ts";
import { speculativeRejection } from "./speculative-rejection.ts";
import { weakToStrong } from "./weak-to-strong.ts";

export const strategies: readonly Strategy[] = [
  sample,
  bestOfN,
  blockwise,
  speculativeRejection,
  beamSearch,
  dvts,
  particleFiltering,
  cards,
  weakToStrong,
  rewardGuidedSpeculative,
  mcts,
];

/** @throws GatewayError strategy_not_found */
export function strategyNamed(name: string, among: readonly Strategy[] = strategies): Strategy {
  const strategy = among.find((each) => each.name === name);
  if (strategy) return strategy;
  const known = among.map((each) => each.name);
  throw new GatewayError("strategy_not_found", { strategy: name, known });
}
