/** Every strategy. Routes, command line, documentation and the shared test suite read this list. */
import { GatewayError } from "../base/errors.ts";
import { bestOfN } from "./best-of-n.ts";
import type { Strategy } from "./define.ts";
import { sample } from "./sample.ts";

export const strategies: readonly Strategy[] = [sample, bestOfN];

/** @throws GatewayError strategy_not_found */
export function strategyNamed(name: string, among: readonly Strategy[] = strategies): Strategy {
  const strategy = among.find((each) => each.name === name);
  if (strategy) return strategy;
  const known = among.map((each) => each.name);
  throw new GatewayError("strategy_not_found", { strategy: name, known });
}
