/** When what waits for its turn is put together. */
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";

test("who gathers waits for what is in line, and for who gathered before", async () => {
  const turnstile = new Turnstile(systemClock);
  const log: string[] = [];
  const run = (name: string) =>
    turnstile.through(async () => {
      log.push(name);
    });
  const gathered = (name: string) => turnstile.quiet().then(() => run(name));
  const first = run("a run before");
  await Promise.all([gathered("first"), gathered("second"), first.then(() => run("its reply"))]);
  expect(log).toEqual(["a run before", "its reply", "first", "second"]);
});

test("two that wake each other in turn meet in the same runs", async () => {
  const turnstile = new Turnstile(systemClock);
  /** A model whose next run takes along all that ask by then. */
  const model = () => {
    let asking: (() => void)[] = [];
    const sizes: number[] = [];
    const drain = async () => {
      isDraining = true;
      while (asking.length > 0) {
        await turnstile.quiet();
        const taken = asking;
        asking = [];
        sizes.push(taken.length);
        await turnstile.through(async () => undefined);
        for (const resolve of taken) resolve();
      }
      isDraining = false;
    };
    let isDraining = false;
    const ask = () =>
      new Promise<void>((resolve) => {
        asking.push(resolve);
        if (!isDraining) void drain();
      });
    return { ask, sizes };
  };
  const [policy, reward] = [model(), model()];
  const answer = async (startsWith: "policy" | "reward") => {
    if (startsWith === "reward") await reward.ask();
    for (let token = 0; token < 10; token++) {
      await policy.ask();
      await reward.ask();
    }
  };
  await Promise.all([answer("policy"), answer("reward")]);
  expect(policy.sizes.filter((size) => size === 1).length).toBeLessThanOrEqual(2);
  expect(reward.sizes.filter((size) => size === 1).length).toBeLessThanOrEqual(3);
});
