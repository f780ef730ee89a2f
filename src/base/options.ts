/** Options of a strategy or a reward as they come from a request, a file or the command line, checked. */
import type { Static, TObject } from "typebox";
import { Value } from "typebox/value";
import { compileCheck, dottedPath } from "./check.ts";
import { GatewayError } from "./errors.ts";
import { nearestName } from "./nearest.ts";

/** What has options: a strategy, a kind of reward. */
export interface Optioned<O extends TObject> {
  readonly name: string;
  /** Schema with defaults; unknown keys are refused. */
  readonly options: O;
}

type Given = Readonly<Record<string, unknown>>;

/**
 * Compiles a schema, once, into the reader of its options: what was given, with the schema's defaults
 * filled in; nothing is coerced, nothing dropped.
 * @param where names in errors the field that holds the options.
 * @returns a function that throws GatewayError invalid_request with the param `<where>.<key>`
 */
export function compileOptions<O extends TObject>(
  { name, options: schema }: Optioned<O>,
  where: string,
): (given: Given) => Static<O> {
  const check = compileCheck(schema);
  return (given) => {
    refuseUnknown(name, where, { known: Object.keys(schema.properties), given });
    const options = Value.Default(schema, { ...given });
    const fault = check(options);
    if (fault) throw invalidOption(where, dottedPath(fault.path), fault.problem);
    return options as Static<O>; // the schema has just been checked
  };
}

function refuseUnknown(
  name: string,
  where: string,
  { known, given }: { known: readonly string[]; given: Given },
): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const nearest = nearestName(unknown, known);
  const hint = nearest === null ? "" : `; did you mean '${nearest}'?`;
  const allowed = `its options are: ${known.join(", ") || "none"}`;
  throw invalidOption(where, unknown, `${name} has no such option (${allowed})${hint}`);
}

function invalidOption(where: string, key: string | null, problem: string): GatewayError {
  const param = key === null ? where : `${where}.${key}`;
  return new GatewayError("invalid_request", { param, problem });
}
