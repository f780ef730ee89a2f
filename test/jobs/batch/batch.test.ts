/** Data from a policy whose law is written down: what is kept of it, and that an interruption does not show. */
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { split } from "../../../src/corpus/index.ts";
import { promptKey } from "../../../src/datasets/prompt.ts";
import { loadDataset } from "../../../src/datasets/read.ts";
import { createGateway } from "../../../src/gateway/gateway.ts";
import { type BatchOptions, batch } from "../../../src/jobs/batch/batch.ts";
import { loadPrompts } from "../../../src/jobs/batch/prompts.ts";
import type { Serve } from "../../../src/jobs/batch/serve.ts";
import { createRegistry } from "../../../src/registry/registry.ts";
import type { Policy } from "../../../src/registry/types.ts";
import { strategies } from "../../../src/strategies/index.ts";
import { cannedReward } from "../../support/canned-reward.ts";
import { linesOf } from "../../support/dataset-files.ts";
import { tabularPolicy } from "../../support/tabular-policy.ts";
import { temporaryFolder } from "../../support/workspace.ts";

const folder = temporaryFolder();
const at = (...names: string[]) => join(folder, ...names);
const COUNT = 40;
const promptFile = at("prompts.jsonl");
writeFileSync(
  promptFile,
  linesOf(...Array.from({ length: COUNT }, (_, i) => ({ prompt: `Say ${i}` }))),
);

/** Of "b", how many there are. */
const letters = (text: string) => text.split("b").length - 1;

/** @param failsAt the draw with which the policy fails; what it has drawn is counted. */
function serving(failsAt = Number.POSITIVE_INFINITY) {
  const seen = { draws: 0, disposed: 0 };
  const serve: Serve = async () => {
    const own = tabularPolicy({ contextTokens: 200 });
    const policy: Policy = {
      ...own,
      generate: (...args) => {
        if (++seen.draws >= failsAt) return Promise.reject(new Error("the power is gone"));
        return own.generate(...args);
      },
    };
    const reward = cannedReward(letters, "letters");
    const registry = createRegistry({
      policies: [policy],
      rewards: [reward],
      presets: [],
      defaultReward: "letters",
      created: 1,
      clock: systemClock,
    });
    const adapters = {
      available: async () => [],
      load: () => Promise.reject(new Error("no adapters here")),
      unload: () => Promise.reject(new Error("no adapters here")),
    };
    const gateway = createGateway({
      registry,
      adapters,
      strategies,
      store: null,
      clock: systemClock,
    });
    const dispose = async () => {
      seen.disposed++;
    };
    return {
      gateway,
      policy,
      model: "table",
      sequencesMax: 64,
      reward: "letters",
      rewardRevision: "1",
      dispose,
    };
  };
  return { seen, serve };
}

const optionsFor = (name: string, changes: Partial<BatchOptions> = {}): BatchOptions => ({
  mode: "best-of-n",
  prompts: { source: promptFile, format: null, badRows: "refuse", seed: 0 },
  alignment: { strategy: "best-of-n", options: { n: 4 } },
  choices: 1,
  k: 4,
  selection: { kind: "best" },
  takesUnfinished: false,
  temperature: 1,
  topP: 1,
  maxTokens: 12,
  seed: 5,
  out: at(name),
  ...changes,
});
const silent = { onProgress: () => {} };
const run = (options: BatchOptions, { serve } = serving()) => batch(serve, options, silent);
const bytes = (...names: string[]) => readFileSync(at(...names), "utf8");

interface Line {
  readonly id: string;
  readonly completions: readonly string[];
  readonly rewards: readonly number[];
  readonly metadata: {
    readonly finished: readonly boolean[];
    readonly chosen: readonly number[];
    readonly stopped: string;
  };
}
const lines = (name: string) =>
  bytes(name, "samples.jsonl")
    .trim()
    .split("\n")
    .map((line): Line => JSON.parse(line));

describe("a batch", () => {
  test("holds every prompt once, in order, with k judged answers, and the best finished one of each", async () => {
    const summary = await run(optionsFor("whole"));
    const all = lines("whole");
    const keys = Array.from({ length: COUNT }, (_, i) => promptKey({ text: `Say ${i}` }));
    expect(all.map(({ id }) => id)).toEqual(keys);
    for (const { completions, rewards } of all) {
      expect(completions).toHaveLength(4);
      expect(rewards).toEqual(completions.map(letters));
    }
    const wanted = all.flatMap(({ completions, rewards, metadata }) => {
      const ended = completions.flatMap((text, i) =>
        metadata.finished[i] && text !== "" ? [{ text, reward: rewards[i]! }] : [],
      );
      const top = Math.max(...ended.map(({ reward }) => reward));
      return ended.length > 0 ? [ended.find(({ reward }) => reward === top)!.text] : [];
    });
    const { rows } = await loadDataset(at("whole", "data.jsonl"));
    expect(rows.map((row) => row.kind === "supervised" && row.completion)).toEqual(wanted);
    expect(summary.selection.rows).toBe(wanted.length);
    expect(summary.selection.answers).toBe(4 * COUNT);
    const rest = await loadDataset(at("whole", "samples.jsonl"));
    expect(rest.format.name).toBe("list"); // which trainings read as it is
  });

  test("that fails half way goes on to the same files, drawing what is left alone", async () => {
    await run(optionsFor("whole-2"));
    const broken = serving(23);
    await expect(run(optionsFor("broken"), broken)).rejects.toThrow("the power is gone");
    expect(broken.seen.disposed).toBe(1);
    const kept = lines("broken").length;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(23);
    const again = serving();
    await run(optionsFor("broken"), again);
    expect(again.seen.draws).toBe(COUNT - kept);
    for (const name of ["samples.jsonl", "data.jsonl"])
      expect(bytes("broken", name)).toBe(bytes("whole-2", name));
  });

  test.each([1, 700, 5_000])("cut off after %i bytes goes on to the same files", async (length) => {
    await run(optionsFor("through"));
    const cut = `cut-${length}`;
    await mkdir(at(cut, ".batch"), { recursive: true });
    const { recipe } = JSON.parse(bytes("through", "manifest.json"));
    writeFileSync(at(cut, "manifest.json"), JSON.stringify({ recipe, results: null }));
    copyFileSync(at("through", "samples.jsonl"), at(cut, "samples.jsonl"));
    truncateSync(at(cut, "samples.jsonl"), length);
    await run(optionsFor(cut));
    for (const name of ["samples.jsonl", "data.jsonl"])
      expect(bytes(cut, name)).toBe(bytes("through", name));
  });

  test("that has ended says what it said, and draws nothing", async () => {
    const first = await run(optionsFor("ended"));
    const again = serving();
    expect(await run(optionsFor("ended"), again)).toEqual(first);
    expect(again.seen.draws).toBe(0);
  });

  test("is refused in the folder of another one, with what differs, and in a folder of other things", async () => {
    await run(optionsFor("mine"));
    await expect(run(optionsFor("mine", { seed: 6, temperature: 0.5 }))).rejects.toThrow(
      /--temperature was 1 and is 0\.5; --seed was 5 and is 6/,
    );
    mkdirSync(at("foreign"));
    writeFileSync(at("foreign", "letter.txt"), "Dear …");
    await expect(run(optionsFor("foreign"))).rejects.toThrow("it holds other files (letter.txt)");
  });

  test("that failed before it had anything binds nobody to its options", async () => {
    await expect(run(optionsFor("early"), serving(1))).rejects.toThrow("the power is gone");
    await run(optionsFor("early", { seed: 6 }));
    expect(lines("early")).toHaveLength(COUNT);
    expect(JSON.parse(bytes("early", "manifest.json")).recipe["--seed"]).toBe(6);
  });

  test("refuses samples that are not its own, by file and line", async () => {
    await run(optionsFor("edited"));
    const [first, second, ...rest] = bytes("edited", "samples.jsonl").split("\n");
    writeFileSync(at("edited", "samples.jsonl"), [second, first, ...rest].join("\n"));
    const { recipe } = JSON.parse(bytes("edited", "manifest.json"));
    writeFileSync(at("edited", "manifest.json"), JSON.stringify({ recipe, results: null }));
    await expect(run(optionsFor("edited"))).rejects.toThrow(
      /samples\.jsonl, line 1: it is of another prompt/,
    );
  });
});

describe("prompts", () => {
  const bad = at("bad.jsonl");
  writeFileSync(
    bad,
    linesOf(
      { prompt: "Say 1" },
      { prompt: "  " },
      { prompt: "Say  1" },
      { prompt: "x".repeat(900) },
    ),
  );
  const source = (badRows: "refuse" | "drop") => ({
    prompts: { source: bad, format: null, badRows, seed: 0 },
  });

  test("that are empty or too long are refused by line before anything is written", async () => {
    await expect(run(optionsFor("refused", source("refuse")))).rejects.toThrow(
      /bad\.jsonl, line 2/,
    );
    expect(() => bytes("refused", "manifest.json")).toThrow("ENOENT");
  });

  test("that repeat come once; those that cannot be read are left out and counted where that is asked for", async () => {
    const summary = await run(optionsFor("dropped", source("drop")));
    expect(summary).toMatchObject({ prompts: 1, repeatedPrompts: 1, droppedPrompts: 2 });
  });

  test("of the corpus are as many as were asked for, all different, of the training side", async () => {
    const asked = { format: null, badRows: "refuse", seed: 2 } as const;
    const { prompts } = await loadPrompts({ ...asked, source: "corpus:arithmetic:300" });
    expect(new Set(prompts.map(({ key }) => key)).size).toBe(300);
    const sides = prompts.map(({ corpus }) => split(corpus!.messages[0]!.content));
    expect(new Set(sides)).toEqual(new Set(["train"]));
    await expect(loadPrompts({ ...asked, source: "corpus:poetry:30" })).rejects.toThrow(
      "where domain is support or arithmetic",
    );
  });
});

describe("modes", () => {
  test("rejection keeps what reaches the threshold, and nothing of a prompt where nothing does", async () => {
    const rejection = {
      alignment: { strategy: "rejection", options: { n: 8, threshold: 2 } },
      selection: { kind: "accepted", stopped: "accepted" } as const,
    };
    const summary = await run(optionsFor("rejection", rejection));
    const { rows } = await loadDataset(at("rejection", "data.jsonl"));
    const rewards = rows.map((row) => (row.kind === "supervised" ? letters(row.completion) : -1));
    expect(Math.min(...rewards)).toBe(2);
    expect(summary.selection.rows).toBe(rows.length);
    for (const { metadata, completions } of lines("rejection")) {
      if (metadata.stopped === "accepted")
        expect(metadata.chosen).toEqual([completions.length - 1]);
    }
    const most = lines("rejection").map((line) => Math.max(...line.rewards));
    expect(most.filter((reward) => reward < 2).length).toBeGreaterThan(0);
    expect(rows.length).toBeLessThanOrEqual(most.filter((reward) => reward >= 2).length);
  });

  test("rso keeps as many as were asked for, equal ones counted twice", async () => {
    const rso = {
      alignment: { strategy: "rso", options: { n: 8, beta: 50 } },
      choices: 3,
      selection: { kind: "accepted", stopped: "complete" } as const,
      takesUnfinished: true,
    };
    await run(optionsFor("rso", rso));
    const { rows } = await loadDataset(at("rso", "data.jsonl"));
    const kept = lines("rso").flatMap(({ completions, metadata }) =>
      metadata.chosen.map((i) => completions[i]!).filter((text) => text !== ""),
    );
    expect(rows.map((row) => row.kind === "supervised" && row.completion)).toEqual(kept);
    expect(new Set(kept).size).toBeLessThan(kept.length);
  });

  test("pairs differ by more than the gap, the better one chosen", async () => {
    const pairs = { selection: { kind: "pairs", rule: "max_min", gapMin: 1 } as const };
    await run(optionsFor("pairs", pairs));
    const { rows } = await loadDataset(at("pairs", "data.jsonl"));
    expect(rows.length).toBeGreaterThan(0);
    for (const row of rows) {
      if (row.kind !== "pair") throw new Error("not a pair");
      expect(letters(row.chosen) - letters(row.rejected)).toBeGreaterThan(1);
    }
  });
});
