/** Rewards by id or by their options, and what stands in a configuration's way. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createRewards, type RewardsParts } from "../../src/registry/rewards.ts";
import type { RewardSpec } from "../../src/rewards/define.ts";
import { cannedReward } from "../support/canned-reward.ts";

const world = (configured: RewardsParts["configured"] = {}) =>
  createRewards({
    loaded: [cannedReward(() => 1, "judge")],
    configured,
    speaker: () => {
      throw new Error("no policy here");
    },
    clock: systemClock,
  });

describe("rewards", () => {
  test("are found by id, loaded and configured ones alike, in order", () => {
    const rewards = world({ short: { kind: "length", max: 3 } });
    expect(rewards.all.map(({ id }) => id)).toEqual(["judge", "short"]);
    expect(rewards.get("short").revision).toMatch(/^length:/);
    expect(() => rewards.get("other")).toThrow(/'other'.*judge, short/);
  });

  test("come with a request where their kind allows it", async () => {
    const session = world()
      .get({ kind: "length", max: 2 })
      .open({ messages: [] }, new AbortController().signal);
    expect(await session.score("one two three four")).toBe(-1);
  });

  test("of a request are refused with the field at fault", () => {
    expect(() => world().get({ kind: "lenght" })).toThrow(/'alignment\.reward\.kind'.*'lenght'/);
    expect(() => world().get({ kind: "length", maximum: 2 })).toThrow(
      /'alignment\.reward\.maximum'.*did you mean 'max'/,
    );
  });

  test("that run programs come with the configuration alone", () => {
    const code = { kind: "code", language: "javascript", tests: [{ stdout: "" }] };
    expect(() => world().get(code)).toThrow(/'code' can only be configured.*regex/);
    expect(world({ tests: code }).get("tests").revision).toMatch(/^code:/);
  });

  test("may be made of others, by id or by their options", async () => {
    const parts = ["judge", { reward: { kind: "length", max: 2 }, weight: 1 }];
    const session = world()
      .get({ kind: "ensemble", parts })
      .open({ messages: [] }, new AbortController().signal);
    expect(await session.score("one two three four")).toBe(0); // the mean of 1 and −1
    const calibrated = { kind: "calibrated", reward: "judge", method: "linear", scale: 2 };
    const configured = world({ mix: { kind: "ensemble", parts: [{ reward: calibrated }] } });
    expect(configured.get("mix").revision).toMatch(/^ensemble:/);
  });

  test("of a request are made of nothing that it may not bring itself", () => {
    const calibrated = { kind: "calibrated", reward: "judge", method: "linear", scale: 2 };
    expect(() => world().get({ kind: "ensemble", parts: [{ reward: calibrated }] })).toThrow(
      /'calibrated' can only be configured/,
    );
  });

  test("of a request do not nest for ever", () => {
    const nest = (depth: number): RewardSpec =>
      depth === 0
        ? { kind: "length", max: 1 }
        : { kind: "ensemble", parts: [{ reward: nest(depth - 1) }] };
    expect(world().get(nest(2)).id).toBe("ensemble");
    expect(() => world().get(nest(3))).toThrow(/nest 3 deep at most/);
  });

  test("are not made of themselves", () => {
    const of = (id: string) => ({ kind: "ensemble", parts: [id] });
    expect(() => world({ a: of("b"), b: of("a") })).toThrow(/made of itself: a → b → a/);
  });

  test("of a configuration are refused with where they stand", () => {
    expect(() => world({ short: { kind: "length", max: 0 } })).toThrow(/rewards\.short/);
    expect(() => world({ judge: { kind: "length", max: 1 } })).toThrow(/rewards\.judge/);
  });
});
