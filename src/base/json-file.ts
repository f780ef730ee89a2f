/** Reads one JSON file of a checkpoint folder and checks it; knows nothing of what the file means. */

import { readFile } from "node:fs/promises";
import type { Static, TSchema } from "typebox";
import { compileCheck, dottedPath } from "./check.ts";
import { GatewayError } from "./errors.ts";

/**
 * @returns the file's value, as the schema describes it; keys that the schema does not name are kept.
 * @throws GatewayError checkpoint_invalid when the file is missing, is not JSON, or breaks the schema.
 */
export async function readCheckpointJson<S extends TSchema>(
  path: string,
  schema: S,
): Promise<Static<S>> {
  return checkCheckpointJson(path, schema, parse(path, await readText(path)));
}

/** @throws GatewayError checkpoint_invalid when the value, which was read from the path, breaks the schema. */
export function checkCheckpointJson<S extends TSchema>(
  path: string,
  schema: S,
  value: unknown,
): Static<S> {
  const fault = compileCheck(schema)(value);
  if (fault === null) return value as Static<S>; // the boundary: checked just now
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: `'${dottedPath(fault.path) ?? "the file"}' ${fault.problem}`,
    remedy: "Export the checkpoint again.",
  });
}

/** The same, with null for a file that does not exist. */
export async function readOptionalCheckpointJson<S extends TSchema>(
  path: string,
  schema: S,
): Promise<Static<S> | null> {
  try {
    return await readCheckpointJson(path, schema);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** @returns whether the error, or its cause, says that a file does not exist. */
export function isMissing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && error.code === "ENOENT") || isMissing(error.cause);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new GatewayError(
      "checkpoint_invalid",
      isMissing(cause)
        ? { path, problem: "the file is missing", remedy: "Copy it from the model's repository." }
        : { path, problem: String(cause), remedy: "Make the file readable to this process." },
      { cause },
    );
  }
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GatewayError(
      "checkpoint_invalid",
      { path, problem: `not JSON (${String(cause)})`, remedy: "Download or export it again." },
      { cause },
    );
  }
}
