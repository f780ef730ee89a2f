/** Takes texts, numbers and messages out of a row as it was read, and says which field is not what it must be. */
import { nearestName } from "../base/nearest.ts";
import type { TemplateMessage } from "../text/chat-template.ts";
import { RowFault } from "./fault.ts";
import type { DatasetPrompt } from "./types.ts";

/** A row as it was read: nothing of it is checked. */
export type Fields = Readonly<Record<string, unknown>>;

/** A message, and whether an answer is to be imitated: OpenAI's `weight`, 0 or 1. */
export interface WeightedMessage {
  readonly message: TemplateMessage;
  readonly weight: number | null;
}

const roles = ["system", "user", "assistant", "tool"];

/** Tables have null where a row lacks a field. */
export const isGiven = (value: unknown): boolean => value !== null && value !== undefined;

/** @throws RowFault missing_field, with the given name that was probably meant for it. */
export function requiredAt(fields: Fields, name: string, path = name): unknown {
  const value = fields[name];
  if (isGiven(value)) return value;
  const near = nearestName(name, Object.keys(fields));
  const hint = near === null || near === name ? "" : `; is it the one called '${near}'?`;
  throw new RowFault("missing_field", path, `is required${hint}`);
}

/** @throws RowFault wrong_field */
export function textOf(value: unknown, path: string): string {
  if (typeof value === "string") return value;
  throw new RowFault("wrong_field", path, `must be a text, not ${nameOf(value)}`);
}

/**
 * A number, or what writers of JSON put where it has none: "NaN", "Infinity", "-Infinity", null.
 * @throws RowFault wrong_field
 */
export function numberOf(value: unknown, path: string): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value); // 64-bit columns of tables
  if (!isGiven(value) || value === "NaN") return Number.NaN;
  if (value === "Infinity" || value === "-Infinity") return Number(value);
  throw new RowFault("wrong_field", path, `must be a number, not ${nameOf(value)}`);
}

/** Absent stays absent. @throws RowFault wrong_field */
export function optionalNumberAt(fields: Fields, name: string): number | undefined {
  const value = fields[name];
  return isGiven(value) ? numberOf(value, name) : undefined;
}

/** true and false, or 1 and 0. @throws RowFault wrong_field */
export function flagOf(value: unknown, path: string): boolean {
  if (typeof value === "boolean") return value;
  if (value === 1 || value === 1n) return true;
  if (value === 0 || value === 0n) return false;
  throw new RowFault("wrong_field", path, `must be true or false, not ${nameOf(value)}`);
}

/** @throws RowFault wrong_field */
export function listOf(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new RowFault("wrong_field", path, `must be a list, not ${nameOf(value)}`);
}

/** @throws RowFault wrong_field */
export function objectOf(value: unknown, path: string): Fields {
  if (isObject(value)) return value;
  throw new RowFault("wrong_field", path, `must be an object, not ${nameOf(value)}`);
}

/** @throws RowFault */
export function promptOf(value: unknown, path: string): DatasetPrompt {
  return typeof value === "string" ? { text: value } : { messages: messagesOf(value, path) };
}

/** At least one message. @throws RowFault */
export function messagesOf(value: unknown, path: string): TemplateMessage[] {
  return weightedMessagesOf(value, path).map(({ message }) => message);
}

/** At least one message. @throws RowFault */
export function weightedMessagesOf(value: unknown, path: string): WeightedMessage[] {
  if (!Array.isArray(value)) {
    const problem = `must be a text or a list of messages, not ${nameOf(value)}`;
    throw new RowFault("wrong_field", path, problem);
  }
  if (value.length === 0) throw new RowFault("wrong_field", path, "has no message");
  return value.map((each, i) => messageOf(objectOf(each, `${path}.${i}`), `${path}.${i}`));
}

export const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Other keys of a message are left: writers add ids, dates and empty lists. */
function messageOf(fields: Fields, path: string): WeightedMessage {
  const role = roleOf(textOf(requiredAt(fields, "role", `${path}.role`), `${path}.role`), path);
  for (const name of ["tool_calls", "function_call"]) {
    const calls = fields[name];
    if (!isGiven(calls) || (Array.isArray(calls) && calls.length === 0)) continue;
    throw new RowFault("wrong_field", `${path}.${name}`, "calls of tools cannot be trained on yet");
  }
  const content = contentOf(requiredAt(fields, "content", `${path}.content`), `${path}.content`);
  const { name, weight } = fields;
  return {
    message: isGiven(name)
      ? { role, content, name: textOf(name, `${path}.name`) }
      : { role, content },
    weight: isGiven(weight) ? weightOf(weight, `${path}.weight`) : null,
  };
}

function roleOf(role: string, path: string): string {
  if (roles.includes(role)) return role;
  if (role === "developer") return "system"; // OpenAI's newer name for it
  const near = nearestName(role, roles);
  const hint = near === null ? `known: ${roles.join(", ")}` : `did you mean '${near}'?`;
  throw new RowFault("wrong_field", `${path}.role`, `'${role}' is not a role; ${hint}`);
}

/** A text, or OpenAI's list of parts that are texts. */
function contentOf(value: unknown, path: string): string {
  if (!Array.isArray(value)) return textOf(value, path);
  const parts = value.map((part, i) => {
    const { text } = objectOf(part, `${path}.${i}`);
    if (typeof text === "string") return text;
    throw new RowFault("wrong_field", `${path}.${i}`, "must be a part of the type text");
  });
  return parts.join("");
}

function weightOf(value: unknown, path: string): number {
  const weight = numberOf(value, path);
  if (weight === 0 || weight === 1) return weight;
  throw new RowFault("wrong_field", path, `must be 0 or 1, not ${weight}`);
}

function nameOf(value: unknown): string {
  if (!isGiven(value)) return "nothing";
  if (Array.isArray(value)) return "a list";
  return isObject(value) ? "an object" : JSON.stringify(plain(value)).slice(0, 40);
}

const plain = (value: unknown) => (typeof value === "bigint" ? Number(value) : value);
