/** JSON by schema. Keywords: JSON Schema 2020-12; shares: the formula in the kind's header. */
import { describe, expect, test } from "vitest";
import { jsonSchema } from "../../src/rewards/json-schema.ts";
import { judging, made } from "./support.ts";

const person = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1 },
    age: { $ref: "#/$defs/count" },
    tags: { type: "array", items: { enum: ["a", "b"] } },
  },
  required: ["name", "age"],
  additionalProperties: false,
  $defs: { count: { type: "integer", minimum: 0 } },
};

test("without a schema, JSON is right and anything else is wrong", async () => {
  const score = judging(jsonSchema, {});
  expect(await score(' {"a": [1, null]} ')).toBe(1);
  expect(await score("12")).toBe(1);
  expect(await score('{"a": 1,}')).toBe(0);
  expect(await score("Sure: {}")).toBe(0);
  expect(await score("")).toBe(0);
});

test.each<[string, number]>([
  ['{"name": "Ada", "age": 36}', 1],
  ['{"name": "Ada", "age": 36, "tags": ["a", "b"]}', 1],
  ['{"name": "Ada"}', 0],
  ['{"name": "Ada", "age": -1}', 0],
  ['{"name": "Ada", "age": 3.5}', 0],
  ['{"name": "", "age": 3}', 0],
  ['{"name": "Ada", "age": 3, "tags": ["c"]}', 0],
  ['{"name": "Ada", "age": 3, "more": 1}', 0],
  ["[]", 0],
])("%s has %d", async (text, reward) => {
  expect(await judging(jsonSchema, { schema: person })(text)).toBe(reward);
});

test("the last fenced block counts, unless the answer has to be JSON itself", async () => {
  const text = 'First ```x``` then\n```json\n{"a": }\n```\nno:\n```json\n{"a": 1}\n```\nDone.';
  expect(await judging(jsonSchema, {})(text)).toBe(1);
  expect(await judging(jsonSchema, { strict: true })(text)).toBe(0);
});

describe("what is partly right", () => {
  test.each<[string, number]>([
    ["no JSON", 0],
    ["[]", 1 / 4], // it parses; neither property nor the whole
    ['{"name": "Ada", "age": 36}', 1],
    ['{"name": "Ada", "age": "36"}', 2 / 4],
    ['{"name": "Ada", "age": 36, "tags": ["c"]}', 3 / 5],
    ['{"name": "Ada", "age": 36, "more": 1}', 3 / 4],
  ])("%s has %d of it all", async (text, share) => {
    const score = judging(jsonSchema, { schema: person, partial: true, matched: 3, unmatched: -1 });
    expect(await score(text)).toBeCloseTo(-1 + 4 * share, 12);
  });
});

test.each([
  [
    { properties: { a: { pattern: "(" } } },
    /schema\.properties\.a\.pattern.*no regular expression/,
  ],
  [{ $ref: "https://example.com/s.json" }, /\$ref.*another document/],
  [{ items: { type: "strng" } }, /schema\.items\.type.*'strng' is no type/],
])("%j is refused, since it would judge otherwise than was meant", (schema, problem) => {
  expect(() => made(jsonSchema, { schema })).toThrow(problem);
});

test("a property may be called as a keyword is", async () => {
  const schema = { properties: { pattern: { type: "string" }, type: { const: { type: "x" } } } };
  expect(await judging(jsonSchema, { schema })('{"pattern": "(", "type": {"type": "x"}}')).toBe(1);
});

test("a hostile pattern of a schema is ended", async () => {
  const score = judging(jsonSchema, { schema: { pattern: "^(a+)+$" } });
  await expect(score(`"${"a".repeat(60)}!"`)).rejects.toMatchObject({ code: "reward_too_slow" });
});
