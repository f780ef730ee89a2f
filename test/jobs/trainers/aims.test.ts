/** Which aims are met, on rows of which each says one thing. */
import { expect, test } from "vitest";
import { aimsOf } from "../../../src/jobs/trainers/aims.ts";
import type { TrainerRow } from "../../../src/jobs/trainers/evaluate-trainers.ts";
import type { PolicyFigures } from "../../../src/jobs/trainers/figures.ts";
import { trialsNamed } from "../../../src/jobs/trainers/trials.ts";

const about = (estimate: number, spread = 0.1) => ({
  estimate,
  low: estimate - spread,
  high: estimate + spread,
});
const changed = (by: number, spread?: number) => ({ value: about(0), change: about(by, spread) });

interface Found {
  readonly recovered?: number;
  readonly gold?: number;
  readonly points?: number;
  readonly chosen?: number;
}

function figures({ recovered, gold = 0, points = 0, chosen = 0 }: Found): PolicyFigures {
  return {
    gold: changed(gold),
    recovered: recovered === undefined ? null : about(recovered),
    right: changed(points / 100, 0.05),
    reward: null,
    kl: null,
    klK3: null,
    chosen: changed(chosen),
    rejected: null,
    tokens: about(40),
  };
}

/** @param like of the list of trials, whose place a row takes that has another name. */
function row(name: string, found: Found, like?: string): TrainerRow {
  const [trial] = like === undefined ? [null] : trialsNamed([like]);
  const [support, arithmetic] = [figures(found), figures({ ...found, gold: 0 })];
  const all = figures(found);
  return {
    name,
    trial: trial!,
    steps: 1,
    trainingSeconds: 1,
    klBound: null,
    all,
    domains: { support, arithmetic },
  };
}
const met = (...rows: TrainerRow[]) => aimsOf({ rows, n: 16 }).map(({ isMet }) => isMet);

test("RAFT and DPO are to recover 60 % of what best-of-n gains", () => {
  expect(met(row("raft", { recovered: 0.6 }), row("dpo", { recovered: 0.59 }))).toEqual([
    true,
    false,
  ]);
  expect(met(row("raft", {}), row("ipo", { recovered: 0.9 }))).toEqual([]); // nothing is said of those
});

test("the better one of GRPO and RLOO is to gain 15 points", () => {
  const [aim] = aimsOf({ rows: [row("grpo", { points: 10 }), row("rloo", { points: 16 })], n: 16 });
  expect(aim).toMatchObject({ found: "rloo: 16", isMet: true });
  expect(met(row("grpo", { points: 14 }))).toEqual([false]);
});

test("controls are to gain nothing that can be told from chance", () => {
  const control = (found: Found) => row("dpo-shuffled", found, "dpo-shuffled");
  expect(met(control({ gold: 0.09 }))).toEqual([true]);
  expect(met(control({ gold: 0.2 }))).toEqual([false]);
  expect(met(control({ points: 6 }))).toEqual([false]);
  expect(met(control({ gold: -3 }))).toEqual([true]);
});

test("direct imitation is to keep what DPO of the same length lets fall, and is not asked where DPO does not", () => {
  const falls = row("dpo-long", { chosen: -5 });
  expect(met(falls, row("dil-ukl-long", { chosen: 0.5 }))).toEqual([true]);
  expect(met(falls, row("dil-ukl-long", { chosen: -2 }))).toEqual([false]);
  expect(met(falls, row("dil-ukl", { chosen: -2 }))).toEqual([]);
  expect(met(row("dpo", { chosen: 1 }), row("dil-ukl", { chosen: -2 }))).toEqual([]);
});
