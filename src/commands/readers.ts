/** What values of flags are read by: each refuses what it is not for, in the words of the command line. */
import { readFile } from "node:fs/promises";
import { InvalidArgumentError } from "commander";
import type { Static, TSchema } from "typebox";
import { parseDocument } from "yaml";
import { compileCheck, dottedPath } from "../base/check.ts";
import { GatewayError } from "../base/errors.ts";

export const number = numberThat(() => true, "a number");
export const positive = numberThat((value) => value > 0, "a number above 0");
export const nonNegative = numberThat((value) => value >= 0, "a number from 0 on");
/** Part of a whole: none, but not all. */
export const share = numberThat((value) => value >= 0 && value < 1, "a number from 0 to below 1");
/** Part of a whole: some, or all. */
export const shareOrAll = numberThat((value) => value > 0 && value <= 1, "a number above 0 to 1");
/** Part of a whole: some, but not all. */
export const part = numberThat((value) => value > 0 && value < 1, "a number between 0 and 1");
/** 1, 2, 3, … */
export const natural = numberThat(
  (value) => Number.isSafeInteger(value) && value > 0,
  "a positive integer",
);
/** 0, 1, 2, … */
export const count = numberThat(
  (value) => Number.isSafeInteger(value) && value >= 0,
  "an integer from 0 on",
);

/** Of the strategies that draw them. */
export const ANSWERS_MAX = 128;

export const answers = (text: string): number => {
  if (natural(text) <= ANSWERS_MAX) return Number(text);
  throw new InvalidArgumentError(`It must be ${ANSWERS_MAX} at most.`);
};

export const oneOf =
  <T extends string>(known: readonly T[]) =>
  (text: string): T => {
    const found = known.find((each) => each === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`It must be one of ${known.join(", ")}.`);
  };

function numberThat(isFine: (value: number) => boolean, wanted: string) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isFinite(value) && isFine(value)) return value;
    throw new InvalidArgumentError(`It must be ${wanted}.`);
  };
}

/** @throws GatewayError invalid_request naming the flag when the file cannot be read */
export async function readText(param: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const problem = `cannot read it: ${String(cause)}`;
    throw new GatewayError("invalid_request", { param, problem }, { cause });
  }
}

/** @throws GatewayError invalid_request naming the flag for a file that is not what the schema says */
export async function readYaml<S extends TSchema>(
  param: string,
  path: string,
  schema: S,
): Promise<Static<S>> {
  const invalid = (problem: string) => new GatewayError("invalid_request", { param, problem });
  const document = parseDocument(await readText(param, path));
  const [fault] = document.errors;
  if (fault) throw invalid(fault.message);
  const value: unknown = document.toJS();
  const wrong = compileCheck(schema)(value);
  if (wrong) throw invalid(`${dottedPath(wrong.path) ?? "the list"} ${wrong.problem}`);
  return value as Static<S>; // just checked
}
