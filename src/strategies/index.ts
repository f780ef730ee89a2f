/** Every strategy. Routes, command line, documentation and the shared test suite read this list. */
import { GatewayError } from "../base/errors.ts";
import { args } from "./args.ts";
import { bestOfN } from "./best-of-n.ts";
import type { Strategy } from "./define.ts";
import { dera } from "./dera.ts";
import { genarm } from "./genarm.ts";
import { rad } from "./rad.ts";
import { sample } from "./sample.ts";
import { valueGuided } from "./value-guided.ts";

export const strategies: readonly Strategy[] = [
  sample,
  bestOfN,
  args,
  rad,
  genarm,
  dera,
  valueGuided,
];

/** @throws GatewayError strategy_not_found */
export function strategyNamed(name: string, among: readonly Strategy[] = strategies): Strategy {
  const strategy = among.find((each) => each.name === name);
  if (strategy) return strategy;
  const known = among.map((each) => each.name);
  throw new GatewayError("strategy_not_found", { strategy: name, known });
}
