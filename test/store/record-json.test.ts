import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { databaseSafe, requestFromJson, requestToJson } from "../../src/store/record-json.ts";
import { candidateRecord, requestRecord } from "../support/request-record.ts";

describe("a record as JSON", () => {
  test("comes back equal, whatever the numbers", () => {
    const number = fc.double().map((value) => (Object.is(value, -0) ? 0 : value)); // JSON has no −0
    const reward = fc.option(number);
    fc.assert(
      fc.property(fc.array(number), fc.dictionary(fc.string(), reward), (logprobs, scores) => {
        const rewards = Object.fromEntries(Object.entries(scores)); // with the usual prototype
        const record = requestRecord("r", { candidates: [candidateRecord({ logprobs, rewards })] });
        expect(requestFromJson(requestToJson(record))).toEqual(record);
      }),
    );
  });

  test("writes numbers that JSON lacks by their names, so that no value becomes null", () => {
    const record = requestRecord("r", {
      candidates: [
        candidateRecord({
          logprobs: [-0.5, Number.NEGATIVE_INFINITY, Number.NaN],
          rewards: { scored: 1, broken: Number.NaN, skipped: null },
        }),
      ],
    });
    const json = requestToJson(record);
    expect(json).toContain('"logprobs":[-0.5,"-Infinity","NaN"]');
    expect(json).toContain('"rewards":{"scored":1,"broken":"NaN","skipped":null}');
  });

  test("is one line", () => {
    expect(requestToJson(requestRecord("r", { messages: "a\nb\r\u2028" }))).not.toMatch(/\n/);
  });

  test.each([
    ["an empty id", { id: "" }],
    ["an id too long for an index", { id: "x".repeat(1001) }],
    ["a seed that is no integer", { seed: 0.5 }],
    ["a time that is no number", { createdAt: Number.NaN }],
    ["a prompt token beyond 31 bits", { promptTokens: [2 ** 31] }],
    ["a token that is no integer", { candidates: [candidateRecord({ tokens: [1.5] })] }],
    ["a candidate out of its place", { candidates: [candidateRecord({ index: 1 })] }],
    ["a cost that is no number", { cost: { tokens: 1, rewardCalls: 0, ms: Number.NaN } }],
  ])("is refused with %s, which the database would refuse too late", (_, fault) => {
    expect(() => requestToJson(requestRecord("r", fault))).toThrow(InvariantError);
  });
});

describe("JSON for the database", () => {
  test("has U+FFFD in place of U+0000 and of half surrogate pairs, in keys as well", () => {
    const safe = databaseSafe(JSON.stringify({ "k\0": ["a\0b", { c: "\ud800x\udc00" }, 1, null] }));
    expect(JSON.parse(safe)).toEqual({ "k\ufffd": ["a\ufffdb", { c: "\ufffdx\ufffd" }, 1, null] });
  });

  test("is untouched otherwise: text about escapes, whole pairs", () => {
    const json = JSON.stringify({ text: "\\u0000 \\ud800 😀 ✓" });
    expect(databaseSafe(json)).toBe(json);
  });
});
