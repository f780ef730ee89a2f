/** A preference model as the server's reward: what compares chooses by it, what wants a score is refused. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Checkpoint } from "../../src/checkpoints/checkpoint.ts";
import { withPairs, withScalarHead } from "../../src/checkpoints/config.ts";
import { fillModelFolder } from "../../src/checkpoints/model-folder.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { configured } from "../../src/commands/sampling.ts";
import { servingOf } from "../../src/commands/serving.ts";
import type { Answer } from "../../src/gateway/types.ts";
import { tinyCheckpoint } from "../support/tiny-checkpoint.ts";
import { temporaryFolder } from "../support/workspace.ts";

const folder = temporaryFolder();

/** The policy's checkpoint with a head of its own. */
async function preferenceModel(policyDir: string): Promise<string> {
  const base = await Checkpoint.open(policyDir);
  const config = withPairs(withScalarHead(base.config)!, true);
  const weights = base.weights();
  const shapes = weightShapes(config);
  const head = (name: string) =>
    Float32Array.from({ length: shapes.get(name)!.reduce((a, b) => a * b) }, (_, i) => Math.sin(i));
  const target = join(folder, "taste");
  await mkdir(target);
  const weight = (name: string) => weights.get(name)?.data ?? head(name);
  await fillModelFolder(target, { base, config, weight, dtype: "F32" });
  return target;
}

test("a folder that says it compares pairs serves a knockout, and is refused where a score is wanted", async () => {
  const policyDir = await tinyCheckpoint(join(folder, "policy"));
  const rewardDir = await preferenceModel(policyDir);
  const settings = await configured({ policyDir, rewardDir, threads: "1", device: "cpu" });
  const served = await servingOf(settings, {})(null);
  const ask = async (options: object): Promise<Answer> => {
    const events = served.gateway.answer({
      id: "1",
      route: "batch",
      model: served.model,
      conversation: { kind: "chat", messages: [{ role: "user", content: "Say red" }] },
      sampling: { temperature: 1, topP: 1, maxTokens: 6, seed: 4 },
      choices: 1,
      alignment: { strategy: "best-of-n", reward: null, options: { n: 4, ...options } },
      store: false,
      user: null,
      metadata: null,
      signal: new AbortController().signal,
    });
    for await (const event of events) if (event.type === "done") return event.answer;
    throw new Error("no answer");
  };
  const { report, choices } = await ask({ choose: "knockout" });
  expect(report.candidates).toHaveLength(4);
  expect(choices).toHaveLength(1);
  expect(report.cost.rewardCalls).toBeGreaterThanOrEqual(1);
  await expect(ask({})).rejects.toMatchObject({ code: "reward_compares_only" });
  await served.dispose();
});
