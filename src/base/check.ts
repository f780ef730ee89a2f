/**
 * Schema checks that a person can act on: one problem, with the field's path, instead of a list of
 * keywords. Requests, settings and strategy options are all checked here; nothing is coerced,
 * nothing is dropped.
 */
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import type { TLocalizedValidationError as CheckError } from "typebox/error";
import { nearestName } from "./nearest.ts";

export interface Problem {
  /** Keys from the root to the field at fault: ["messages", "0", "role"]. */
  readonly path: readonly string[];
  /** Completes a sentence that names the field: "must be at most 2". */
  readonly problem: string;
}

/** Compiles a schema into a check that returns the problem most worth telling, or null. */
export function compileCheck(schema: TSchema): (value: unknown) => Problem | null {
  const validator = Compile(schema);
  return (value) => {
    if (validator.Check(value)) return null;
    return describe(mostTelling(validator.Errors(value)), schema);
  };
}

/** OpenAI's way to name a nested field: "messages.0.role"; null for the whole value. */
export const dottedPath = (path: readonly string[]): string | null => path.join(".") || null;

/**
 * A wrong constant, since it decides what the other fields mean; else the first error. From a union
 * the branch that got past the type speaks, and if none did, all the types are named together.
 */
function mostTelling(errors: readonly CheckError[]): CheckError {
  const first = errors.find((error) => error.keyword === "const") ?? errors[0]!;
  if (first.keyword === "const") return first;
  const union = /^(.*?)\/anyOf\/\d+/.exec(first.schemaPath)?.[1];
  if (union === undefined) return first;
  const types = new Set<string>();
  for (const error of errors) {
    if (!error.schemaPath.startsWith(`${union}/anyOf/`)) continue;
    const isMismatch = error.keyword === "type" && error.instancePath === first.instancePath;
    if (isMismatch) types.add(String(error.params.type));
    else if (error.keyword !== "anyOf") return error;
  }
  return { ...first, keyword: "type", params: { type: [...types].join(" or ") } };
}

function describe(error: CheckError, schema: TSchema): Problem {
  const path = pointerKeys(error.instancePath);
  const at = recordOf(schemaAt(schema, error.schemaPath.replace(/\/additionalProperties$/, "")));
  if (error.keyword === "required") {
    return { path: [...path, error.params.requiredProperties[0]!], problem: "is required" };
  }
  // The only `false` schema in use is `additionalProperties: false`.
  if (error.keyword === "boolean") return { path, problem: unknownName(path.at(-1)!, at) };
  return { path, problem: sentence(error) + refusal(at) };
}

function sentence(error: CheckError): string {
  if (error.keyword === "enum") return oneOf(error.params.allowedValues);
  if (error.keyword === "const") return oneOf([error.params.allowedValue]);
  if (error.keyword === "type") return `must be of type ${String(error.params.type)}`;
  if (error.keyword === "minimum") return `must be at least ${error.params.limit}`;
  if (error.keyword === "maximum") return `must be at most ${error.params.limit}`;
  return error.message;
}

function unknownName(name: string, owner: Readonly<Record<string, unknown>>): string {
  const nearest = nearestName(name, Object.keys(recordOf(owner["properties"])));
  return nearest ? `is not known; did you mean '${nearest}'?` : "is not known";
}

function oneOf(values: readonly unknown[]): string {
  const names = values.map((value) => JSON.stringify(value)).join(", ");
  return `must be ${values.length === 1 ? "" : "one of "}${names}`;
}

/** A schema may say why it accepts so little: its `refusal` is appended to the sentence. */
const refusal = (schema: Readonly<Record<string, unknown>>) =>
  typeof schema["refusal"] === "string" ? ` (${schema["refusal"]})` : "";

/** The sub-schema that an error's path, "#/properties/messages/items", points to. */
function schemaAt(schema: TSchema, pointer: string): unknown {
  let node: unknown = schema;
  for (const key of pointerKeys(pointer)) node = recordOf(node)[key];
  return node;
}

const pointerKeys = (pointer: string) =>
  pointer
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));

// A schema is plain data; its keywords are read by name.
const recordOf = (value: unknown) =>
  (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
