import { describe, expect, test } from "vitest";
import { nearestName } from "../../src/base/nearest.ts";

describe("the nearest name", () => {
  test.each([
    ["temprature", "temperature"],
    ["topp", "topP"],
    ["candidate", "candidates"],
    ["lenght", "length"],
  ])("of %s is %s", (name, meant) => {
    const known = ["temperature", "topK", "topP", "candidates", "length"];
    expect(nearestName(name, known)).toBe(meant);
  });

  test("is none when nothing resembles it", () => {
    expect(nearestName("colour", ["n", "deadline_ms"])).toBeNull();
    expect(nearestName("anything", [])).toBeNull();
    expect(nearestName("temperature".repeat(1_000), ["temperature"])).toBeNull();
  });
});
