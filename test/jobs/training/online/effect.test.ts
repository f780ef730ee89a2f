/** The embedded policy, on prompts of its corpus, learns what it is rewarded for within a few steps. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { cannedReward } from "../../../support/canned-reward.ts";
import { judgedBy, onlineOptions, runOnline } from "../../../support/tiny-online.ts";
import { temporaryFolder, testRuntime } from "../../../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();
const base = join(import.meta.dirname, "../../../../models/tiny-chat");

test("answers become shorter where length costs, on held-out prompts too", {
  timeout: 120_000,
}, async () => {
  const asked = { base, out: join(folder, "short"), prompts: "corpus:arithmetic:24" };
  const changes = {
    steps: 6,
    batch: 4,
    k: 4,
    maxTokens: 60,
    evaluate: 16,
    evaluateEvery: 6,
    learningRate: 1e-3,
    passTokens: 2048,
    threads: null,
    sequencesMax: 32,
  };
  const reward = cannedReward((text) => -text.length / 100);
  const { summary } = await runOnline(
    runtime,
    judgedBy(reward),
    onlineOptions("rloo", asked, changes),
  );
  const { before, after } = summary.heldOut!;
  expect(before["accuracy"]).toBeGreaterThan(0.3); // it is the trained policy
  expect(after["reward"]! - before["reward"]!).toBeGreaterThan(0.1);
  expect(after["length"]).toBeLessThan(before["length"]! - 5);
});
