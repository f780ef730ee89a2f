/** Scores with known outcomes, from which a calibration is fitted: JSON lines `{"score": 1.5, "value": 1}`. */
import { readFileSync } from "node:fs";
import { Type } from "typebox";
import { compileCheck, dottedPath } from "../base/check.ts";
import { GatewayError } from "../base/errors.ts";
import type { Outcome } from "./curves.ts";

const lineSchema = Type.Object({ score: Type.Number(), value: Type.Number() });

/**
 * Read while the server starts, before anything waits for it.
 * @throws GatewayError config_invalid with the line at fault
 */
export function readOutcomes(path: string): Outcome[] {
  const check = compileCheck(lineSchema);
  const outcomes = linesOf(path).flatMap((line, at): Outcome[] => {
    if (line.trim() === "") return [];
    const value = parsed(line, `${path}, line ${at + 1}`);
    const fault = check(value);
    if (fault === null) return [value as Outcome]; // the schema has just been checked
    const problem = `line ${at + 1}: ${dottedPath(fault.path) ?? "it"} ${fault.problem}.`;
    throw new GatewayError("config_invalid", { source: path, problem });
  });
  if (outcomes.length > 0) return outcomes;
  throw new GatewayError("config_invalid", { source: path, problem: "the file has no line." });
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch (cause) {
    const problem = `the file cannot be read: ${String(cause)}`;
    throw new GatewayError("config_invalid", { source: path, problem }, { cause });
  }
}

function parsed(line: string, source: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    const problem = `it is not JSON: ${String(cause)}`;
    throw new GatewayError("config_invalid", { source, problem }, { cause });
  }
}
