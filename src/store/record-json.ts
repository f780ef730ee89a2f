/**
 * A request as JSON, for the log and from the database, without losing a number:
 * in log-probabilities and rewards NaN, Infinity and −Infinity are the strings "NaN", "Infinity" and "-Infinity",
 * which PostgreSQL reads as the numbers they name and writes the same way. Free-form fields (messages, sampling,
 * strategyOptions) are JSON as sent: what JSON cannot hold is not kept.
 */
import { assert } from "../base/assert.ts";
import type { CandidateRecord, RequestRecord } from "./types.ts";

type JsonNumber = number | "NaN" | "Infinity" | "-Infinity";

interface CandidateJson extends Omit<CandidateRecord, "logprobs" | "rewards"> {
  logprobs: readonly JsonNumber[];
  rewards: Record<string, JsonNumber | null>;
}

interface RequestJson extends Omit<RequestRecord, "candidates"> {
  candidates: readonly CandidateJson[];
}

const int32Max = 2 ** 31 - 1;
const nameBytesMax = 1000; // an index entry of PostgreSQL holds 2,704 bytes

/** One line. @throws InvariantError for a record that the database would not take. */
export function requestToJson(record: RequestRecord): string {
  checkRequest(record);
  const candidates = record.candidates.map(candidateToJson);
  return JSON.stringify({ ...record, candidates } satisfies RequestJson);
}

/** @param json what `requestToJson` wrote, or the database's row as JSON in the same shape. */
export function requestFromJson(json: string): RequestRecord {
  // Boundary: the text comes from our own encoder or our own query.
  const record = JSON.parse(json) as RequestJson;
  return { ...record, candidates: record.candidates.map(candidateFromJson) };
}

/**
 * PostgreSQL's text and jsonb hold neither U+0000 nor half a surrogate pair, and a client can send both:
 * in the database they are U+FFFD. The log keeps them as they came.
 */
export function databaseSafe(json: string): string {
  if (!/\\u(?:0000|d[89a-f])/i.test(json)) return json;
  const clean = (text: string) =>
    text.replaceAll("\0", "\ufffd").replace(/\p{Surrogate}/gu, "\ufffd");
  const deep = (value: unknown): unknown => {
    if (typeof value === "string") return clean(value);
    if (Array.isArray(value)) return value.map(deep);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [clean(key), deep(item)]));
  };
  return JSON.stringify(deep(JSON.parse(json)));
}

function checkRequest({
  id,
  model,
  createdAt,
  seed,
  cost,
  promptTokens,
  candidates,
}: RequestRecord) {
  const isName = (name: string) => name !== "" && Buffer.byteLength(name) <= nameBytesMax;
  assert(isName(id), `A request's id has 1 to ${nameBytesMax} bytes, not '${id}'.`);
  assert(isName(model), `Request ${id}: the model's name has 1 to ${nameBytesMax} bytes.`);
  assert(Number.isSafeInteger(createdAt), `Request ${id}: createdAt is ${createdAt}.`);
  assert(Number.isSafeInteger(seed), `Request ${id}: the seed is ${seed}.`);
  assert(Object.values(cost).every(Number.isFinite), `Request ${id}: a cost is not finite.`);
  assert(areIds(promptTokens), `Request ${id}: a prompt token is no token id.`);
  candidates.forEach(({ index, tokens, source }, i) => {
    assert(index === i, `Request ${id}: candidate ${index} is in place ${i}.`);
    const ids = [...tokens, ...(source?.promptTokens ?? [])];
    assert(areIds(ids), `Request ${id}, candidate ${i}: a token is no token id.`);
  });
}

function areIds(tokens: readonly number[]): boolean {
  return tokens.every((token) => Number.isInteger(token) && token >= 0 && token <= int32Max);
}

function candidateToJson(candidate: CandidateRecord): CandidateJson {
  const { logprobs, rewards } = candidate;
  return {
    ...candidate,
    logprobs: logprobs.every(Number.isFinite) ? logprobs : logprobs.map(numberToJson),
    rewards: mapValues(rewards, (reward) => (reward === null ? null : numberToJson(reward))),
  };
}

function candidateFromJson(candidate: CandidateJson): CandidateRecord {
  const { source, rewardFlags, ...rest } = candidate; // null in the database's rows where there is none
  return {
    ...rest,
    ...(source && { source }),
    ...(rewardFlags && { rewardFlags }),
    logprobs: candidate.logprobs.map(Number),
    rewards: mapValues(candidate.rewards, (reward) => (reward === null ? null : Number(reward))),
  };
}

function numberToJson(value: number): JsonNumber {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

function mapValues<A, B>(values: Readonly<Record<string, A>>, map: (value: A) => B) {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, map(value)]));
}
