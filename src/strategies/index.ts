/** Every strategy. Routes, command line, documentation and the shared test suite read this list. */
import { GatewayError } from "../base/errors.ts";
import { adaptiveBestOfN } from "./adaptive-best-of-n.ts";
import { args } from "./args.ts";
import { beamSearch } from "./beam-search.ts";
import { bestOfN } from "./best-of-n.ts";
import { blockwise } from "./blockwise.ts";
import { cards } from "./cards.ts";
import { cascade } from "./cascade.ts";
import type { Strategy } from "./define.ts";
import { dera } from "./dera.ts";
import { dvts } from "./dvts.ts";
import { genarm } from "./genarm.ts";
import { majorityVote } from "./majority-vote.ts";
import { mcts } from "./mcts.ts";
import { mixture } from "./mixture.ts";
import { particleFiltering } from "./particle-filtering.ts";
import { promptRouter } from "./prompt-router.ts";
import { rad } from "./rad.ts";
import { rejection } from "./rejection.ts";
import { rewardGuidedSpeculative } from "./reward-guided-speculative.ts";
import { rso } from "./rso.ts";
import { sample } from "./sample.ts";
import { speculativeRejection } from "./speculative-rejection.ts";
import { valueGuided } from "./value-guided.ts";
import { weakToStrong } from "./weak-to-strong.ts";
import { weightedVote } from "./weighted-vote.ts";

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
  args,
  rad,
  genarm,
  dera,
  valueGuided,
  adaptiveBestOfN,
  rejection,
  rso,
  majorityVote,
  weightedVote,
  mixture,
  cascade,
  promptRouter,
];

/** @throws GatewayError strategy_not_found */
export function strategyNamed(name: string, among: readonly Strategy[] = strategies): Strategy {
  const strategy = among.find((each) => each.name === name);
  if (strategy) return strategy;
  const known = among.map((each) => each.name);
  throw new GatewayError("strategy_not_found", { strategy: name, known });
}
