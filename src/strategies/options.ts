/** A strategy's options as they come from a request, a preset or the command line, checked. */
import type { Static, TObject } from "typebox";
import { Value } from "typebox/value";
import { compileCheck, dottedPath } from "../base/check.ts";
import { GatewayError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import type { Strategy } from "./define.ts";

type Given = Readonly<Record<string, unknown>>;

/**
 * Compiles a strategy's schema, once, into the reader of its options: what was given, with the schema's
 * defaults filled in; nothing is coerced, nothing dropped.
 * @returns a function that throws GatewayError invalid_request with the param `alignment.<key>`
 */
export function compileOptions<O extends TObject>(
  strategy: Strategy<O>,
): (given: Given) => Static<O> {
  const check = compileCheck(strategy.options);
  return (given) => {
    refuseUnknown(strategy, Object.keys(given));
    const options = Value.Default(strategy.options, { ...given });
    const fault = check(options);
    if (fault) throw invalidOption(dottedPath(fault.path), fault.problem);
    return options as Static<O>; // the schema has just been checked
  };
}

function refuseUnknown({ name, options }: Strategy, keys: readonly string[]): void {
  const known = Object.keys(options.properties);
  const unknown = keys.find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const nearest = nearestName(unknown, known);
  const hint = nearest === null ? "" : `; did you mean '${nearest}'?`;
  const allowed = `its options are: ${known.join(", ") || "none"}`;
  throw invalidOption(unknown, `${name} has no such option (${allowed})${hint}`);
}

function invalidOption(key: string | null, problem: string): GatewayError {
  const param = key === null ? "alignment" : `alignment.${key}`;
  return new GatewayError("invalid_request", { param, problem });
}
