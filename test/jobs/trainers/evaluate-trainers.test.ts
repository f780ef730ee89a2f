/**
 * The whole evaluation: trainings of a tiny checkpoint, and in the place of what is served policies whose law is written
 * down, so that each number can be had by hand.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { createGateway } from "../../../src/gateway/gateway.ts";
import type { Serve } from "../../../src/jobs/batch/serve.ts";
import { curvesSvg, svgOf } from "../../../src/jobs/plots.ts";
import {
  evaluateTrainers,
  type TrainersEvaluation,
  type TrainersOptions,
} from "../../../src/jobs/trainers/evaluate-trainers.ts";
import type { JudgedAnswer } from "../../../src/jobs/trainers/judge.ts";
import { curvesOf, plotsOf, tablesOf } from "../../../src/jobs/trainers/report.ts";
import { type TrainerTrial, trialsNamed } from "../../../src/jobs/trainers/trials.ts";
import type { OpenJudges } from "../../../src/jobs/training/online/train-online.ts";
import { createRegistry } from "../../../src/registry/registry.ts";
import { strategies } from "../../../src/strategies/index.ts";
import { cannedReward } from "../../support/canned-reward.ts";
import type { Law } from "../../support/tabular-generator.ts";
import { law, otherLaw, tabularPolicy, tokenizer } from "../../support/tabular-policy.ts";
import { tinyCheckpoint } from "../../support/tiny-checkpoint.ts";
import { temporaryFolder, testRuntime } from "../../support/workspace.ts";

const folder = temporaryFolder();
const at = (...names: string[]) => join(folder, ...names);
const runtime = testRuntime();

let policy: string;
beforeAll(async () => {
  policy = await tinyCheckpoint(at("base"), { max_position_embeddings: 256 });
});

/** Of "b", how many there are. */
const letters = (text: string) => text.split("b").length - 1;

/** The base has one law, whatever was trained another. @param failsAt the draw with which a policy fails. */
function serving(failsAt = Number.POSITIVE_INFINITY) {
  const seen = { draws: 0, open: 0, folders: [] as (string | null)[] };
  const serve: Serve = async (trained) => {
    seen.open++;
    seen.folders.push(trained);
    const own = tabularPolicy({ contextTokens: 2_000, law: trained === null ? law : otherLaw });
    const generate: typeof own.generate = (...args) => {
      if (++seen.draws >= failsAt) return Promise.reject(new Error("the power is gone"));
      return own.generate(...args);
    };
    const registry = createRegistry({
      policies: [{ ...own, generate }],
      rewards: [cannedReward(letters, "letters")],
      presets: [],
      defaultReward: "letters",
      created: 1,
      clock: systemClock,
    });
    const unused = () => Promise.reject(new Error("no adapters here"));
    const adapters = { available: async () => [], load: unused, unload: unused };
    const parts = { registry, adapters, strategies, store: null, clock: systemClock };
    return {
      gateway: createGateway(parts),
      policy: own,
      model: "table",
      sequencesMax: 64,
      reward: "letters",
      rewardRevision: "1",
      async dispose() {
        seen.open--;
      },
    };
  };
  return { seen, serve };
}

/** Of answers that a policy in training draws itself. */
const openJudges: OpenJudges = async ({ loaded }) => ({
  reward: () => cannedReward((text) => -text.length),
  dispose: () => loaded.engine.dispose(),
});

const trials = trialsNamed(["raft", "dpo", "kto", "rrhf", "dpo-shuffled"]).map((trial) => ({
  ...trial,
  epochs: 1,
}));
const sizes = { domains: ["support", "arithmetic"], prompts: 10, k: 4, heldOut: 6, n: 8 } as const;

function evaluate(
  out: string,
  { serve } = serving(),
  changes: Partial<TrainersOptions> = {},
): Promise<TrainersEvaluation> {
  const training = { onStart: () => {}, onReferences: () => {}, onStep: () => {} };
  const listener = { onProgress: () => {}, onRow: () => {}, training };
  const options = { trials, ...sizes, policy, seed: 3, threads: 1, memoryBytesMax: null };
  return evaluateTrainers(
    runtime,
    { serve, openJudges },
    {
      options: { ...options, out: at(out), ...changes },
      listener,
    },
  );
}

const judgedIn = (...names: string[]) =>
  JSON.parse(readFileSync(at(...names, "judged.json"), "utf8")) as JudgedAnswer[];

/** log of the probability that the law gives the answer, its end included. */
function logpOf(of: Law, text: string, isFinished = true): number {
  const ids = [...tokenizer.encode(text), ...(isFinished ? tokenizer.endIds.slice(0, 1) : [])];
  return ids.reduce((sum, id, i) => sum + Math.log(of(ids.slice(0, i)).get(id)!), 0);
}

describe("the evaluation of trainers", () => {
  const served = serving();
  let evaluation: TrainersEvaluation;
  beforeAll(async () => {
    evaluation = await evaluate("whole", served);
  });
  const rowNamed = (name: string) => evaluation.rows.find((row) => row.name === name)!;

  test("has the base, its best-of-n and each trial in their order, and lets go of what it served", () => {
    const names = evaluation.rows.map(({ name }) => name);
    expect(names).toEqual(["table", "best-of-8", ...trials.map(({ name }) => name)]);
    expect(served.seen.open).toBe(0);
    const folders = trials.map(({ name }) => at("whole", "trials", name));
    expect(served.seen.folders).toEqual([null, ...folders]);
    for (const trained of folders)
      expect(existsSync(join(trained, "model.safetensors"))).toBe(true);
  });

  test("counts the steps of each training", () => {
    const { trial, steps } = rowNamed("dpo");
    expect(trial?.rows).toBe("max_min");
    const rows = readFileSync(at("whole", "data", "max_min.jsonl"), "utf8")
      .trim()
      .split("\n");
    expect(steps).toBe(Math.ceil(rows.length / 16));
    expect(rowNamed("table").steps).toBe(0);
  });

  test("estimates the KL of each answer by the laws of its own tokens", () => {
    for (const { text, k1, tokens } of judgedIn("whole", "trials", "dpo")) {
      const isFinished = tokens === text.length + 1;
      const exact = logpOf(otherLaw, text, isFinished) - logpOf(law, text, isFinished);
      expect(k1).toBeCloseTo(exact, 4); // float32 log-probabilities
    }
    expect(rowNamed("table").all.kl?.estimate).toBeCloseTo(0, 4);
    expect(rowNamed("best-of-8").klBound).toBeCloseTo(Math.log(8) - 7 / 8, 12);
  });

  test("says what the policy makes of the base's best and worst finished answers", () => {
    const lines = ["support", "arithmetic"].flatMap((domain) =>
      readFileSync(at("whole", `held-out-${domain}.jsonl`), "utf8")
        .trim()
        .split("\n"),
    );
    const [base, trained] = [judgedIn("whole", "base"), judgedIn("whole", "trials", "dpo")];
    expect(lines).toHaveLength(12);
    lines.forEach((line, i) => {
      const { completions, rewards, metadata } = JSON.parse(line) as Record<string, unknown[]> & {
        metadata: { finished: boolean[] };
      };
      const fit = completions!.flatMap((text, j) =>
        metadata.finished[j] && text !== ""
          ? [{ text: String(text), reward: Number(rewards![j]) }]
          : [],
      );
      const highest = Math.max(...fit.map(({ reward }) => reward));
      const best = fit.find(({ reward }) => reward === highest)!.text;
      expect(base[i]!.pair!.chosen).toBeCloseTo(logpOf(law, best), 4);
      expect(trained[i]!.pair!.chosen).toBeCloseTo(logpOf(otherLaw, best), 4);
    });
  });

  test("asks all policies the same with the same seeds", () => {
    const [one, other] = ["dpo", "kto"].map((name) => judgedIn("whole", "trials", name));
    expect(one).toEqual(other); // which are served with one law here
  });

  test("draws the likelihood of watched pairs over the steps of losses on pairs alone", () => {
    expect(evaluation.curves.map(({ name }) => name)).toEqual(["dpo", "dpo-shuffled"]);
    const { points } = evaluation.curves[0]!;
    expect(points[0]!.step).toBe(0);
    expect(points.at(-1)!.step).toBe(rowNamed("dpo").steps);
  });

  test("tells everything in tables and figures", () => {
    const tables = tablesOf(evaluation);
    for (const { name } of evaluation.rows)
      expect(tables.match(new RegExp(`^\\| ${name} \\|`, "gm"))).toHaveLength(3);
    expect(tables).toContain("≤ 1.20");
    expect(tables).not.toMatch(/NaN|undefined|-0\.00/);
    const plots = plotsOf(evaluation);
    expect([...plots.keys()]).toEqual(["trainers-support.svg", "trainers-arithmetic.svg"]);
    const support = plots.get("trainers-support.svg")!;
    const labels = support.series.flatMap(({ points }) => points.map(({ label }) => label));
    expect(labels).toContain("dpo-shuffled");
    expect(svgOf(support)).toContain("trained on shuffled rewards");
    const curves = curvesOf(evaluation);
    expect(curvesSvg(curves.get("trainers-chosen.svg")!)).toMatch(/^<svg /);
  });

  test("does nothing again that is there, and takes further trials", async () => {
    const again = serving();
    const { trainingSeconds: _, ...row } = rowNamed("raft");
    const more = await evaluate("whole", again, { trials: [...trialsNamed(["ipo"]), trials[0]!] });
    expect(more.rows.map(({ name }) => name)).toEqual(["table", "best-of-8", "ipo", "raft"]);
    expect(more.rows[3]).toMatchObject(row);
    expect(again.seen.folders).toEqual([null, at("whole", "trials", "ipo")]);
    expect(again.seen.draws).toBe(12); // ipo's answers
  });

  test("comes to the same after a failure, wherever that was", async () => {
    for (const failsAt of [13, 30, 20, 20]) {
      const broken = serving(failsAt);
      await expect(evaluate("broken", broken)).rejects.toThrow("the power is gone");
      expect(broken.seen.open).toBe(0);
    }
    const resumed = await evaluate("broken");
    const timeless = ({ rows, ...rest }: TrainersEvaluation) => ({
      ...rest,
      rows: rows.map((row) => ({ ...row, trainingSeconds: 0 })),
    });
    expect(timeless(resumed)).toEqual(timeless(evaluation));
    for (const name of ["raft", "dpo-shuffled"]) {
      const weights = (out: string) => readFileSync(at(out, "trials", name, "model.safetensors"));
      expect(weights("broken").equals(weights("whole")), name).toBe(true);
    }
  });

  test("takes trials on answers of their own, which need none of the candidates", async () => {
    const [rloo] = trialsNamed(["rloo"]);
    const rows = { domain: "arithmetic", prompts: 4 } as const;
    const asked = { trials: [{ ...rloo!, rows, batch: 2 }] };
    const found = await evaluate("whole", serving(), asked);
    expect(found.rows[2]).toMatchObject({ name: "rloo", steps: 2 });
    expect(tablesOf(found)).toContain("| rloo | own answers, arithmetic |");
    const again = serving();
    expect((await evaluate("whole", again, asked)).rows[2]).toEqual(found.rows[2]);
    expect(again.seen.draws).toBe(0);
  });

  test("makes a trial anew whose folder is gone", async () => {
    rmSync(at("broken", "trials", "raft"), { recursive: true });
    const again = serving();
    await evaluate("broken", again, { trials: [trials[0]!] });
    expect(again.seen.draws).toBe(12);
    expect(readdirSync(at("broken", "trials", "raft"))).toContain("judged.json");
  });
});

describe("what cannot be evaluated is refused", () => {
  const [raft, dpo] = trials as [TrainerTrial, TrainerTrial];

  test("before anything is served: trials of one folder, and trials that cannot be trained", async () => {
    const { seen, serve } = serving();
    const refused = (given: TrainerTrial[]) =>
      evaluate("refused", { seen, serve }, { trials: given });
    const twins = [
      { ...raft, name: "a b" },
      { ...dpo, name: "A-B" },
    ];
    await expect(refused(twins)).rejects.toThrow("kept in the folder 'a-b'");
    await expect(refused([{ ...raft, name: "…" }])).rejects.toThrow("neither letters nor digits");
    await expect(refused([{ ...raft, method: "reward-hinge" }])).rejects.toThrow(
      "no policy of rows",
    );
    expect(seen.folders).toEqual([]);
    expect(existsSync(at("refused"))).toBe(false);
  });

  test("other candidates in the folder, and a trial that learns otherwise than before", async () => {
    await expect(evaluate("whole", serving(), { k: 5 })).rejects.toThrow(/--k was 4 and is 5/);
    const faster = [{ ...raft, learningRate: 0.01 }];
    await expect(evaluate("whole", serving(), { trials: faster })).rejects.toThrow(
      /learning-rate was 0.0003 and is 0.01/i,
    );
  });

  test("a policy of whose answers nothing can be learnt", async () => {
    const { seen, serve } = serving();
    const cut: Serve = async (trained) => {
      const { gateway, ...found } = await serve(trained);
      const answer: typeof gateway.answer = ({ sampling, ...request }) =>
        gateway.answer({ ...request, sampling: { ...sampling, maxTokens: 1 } });
      return { ...found, gateway: { answer } };
    };
    await expect(evaluate("silent", { seen, serve: cut }, { trials: [dpo] })).rejects.toThrow(
      /no rows of 'max_min'.*--k/,
    );
  });
});
