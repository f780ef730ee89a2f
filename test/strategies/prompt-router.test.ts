import { describe, expect, test } from "vitest";
import type { Generator } from "../../src/engine/types.ts";
import { promptRouter } from "../../src/strategies/prompt-router.ts";
import { sample } from "../../src/strategies/sample.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { type Law, tabularGenerator } from "../support/tabular-generator.ts";
import { end, law, tabularPolicy, tokenizer } from "../support/tabular-policy.ts";
import { chiSquare, countTexts } from "./laws.ts";
import { best, finish } from "./support.ts";

const c = tokenizer.idOf("c")!;
const plain = tabularGenerator({ law, vocabSize: tokenizer.vocabSize });
/** c with 3/4, each time. */
const talk: Law = () => new Map([[c, 0.75], [end, 0.25]]); // biome-ignore format: one row
const talkative = tabularGenerator({ law: talk, vocabSize: tokenizer.vocabSize });

/** Says c where the prompt says please; what every prompt was is kept. */
function obedient() {
  const prompts: string[] = [];
  const generator: Generator = {
    ...plain,
    sample(prompt, n, sampling, control) {
      const text = tokenizer.decode(prompt);
      prompts.push(text);
      const chosen = text.includes("please") ? talkative : plain;
      return chosen.sample(prompt, n, sampling, control);
    },
  };
  return { policy: tabularPolicy({ generator }), prompts };
}

const templates = ["{prompt}", "{prompt} please"];
const likesC = () => cannedReward((text) => text.split("c").length - 1);

describe("prompt router", () => {
  test("answers by the template whose draft the reward likes best", async () => {
    const draws = 500;
    const observed = await countTexts(draws, async (seed) => {
      const run = { reward: likesC(), options: { templates }, sampling: { seed, maxTokens: 2 } };
      const { policy } = obedient();
      return best(await finish(promptRouter, { ...run, policy })).text;
    });
    const exact = new Map([
      ["", 0.25],
      ["c", 0.75 * 0.25],
      ["cc", 0.75 * 0.75],
    ]);
    expect(chiSquare(observed, exact, draws)).toBeLessThan(13.82); // 2 degrees of freedom, p = 0.001
  });

  test("drafts greedily, no longer than said, and judges by the prompt as it was asked", async () => {
    const { policy, prompts } = obedient();
    const reward = likesC();
    const run = { policy, reward, options: { templates, probe: 3 }, sampling: { maxTokens: 8 } };
    const { result } = await finish(promptRouter, run);
    expect(result.candidates).toHaveLength(3);
    expect(result.candidates[1]).toMatchObject({ text: "ccc", finishReason: "length", reward: 3 });
    expect(result.chosen).toEqual([2]);
    expect(result.details).toEqual({ template: 1, predicted: 3 });
    expect(prompts).toEqual(["?", "? please", "? please"]);
    expect(reward.prompts).toEqual([{ messages: [{ role: "user", content: "?" }] }]);
    expect(result.candidates[0]!.source).toBeUndefined();
    expect(result.candidates[2]!.source!.prompt).toEqual(
      policy.encode({ kind: "text", text: "? please" }),
    );
  });

  test("streams the answer before it is complete", async () => {
    const { events } = await finish(promptRouter, { reward: likesC(), sampling: { seed: 3 } });
    const types = events.map(({ type }) => type);
    expect(types.indexOf("text-delta")).toBeLessThan(types.lastIndexOf("candidate-scored"));
  });

  test("is sampling with one template that adds nothing, whatever the reward accepts", async () => {
    const whole = { ...likesC(), acceptsPrefixes: false };
    for (let seed = 0; seed < 20; seed++) {
      const run = { reward: whole, sampling: { seed } };
      const routed = await finish(promptRouter, { ...run, options: { templates: ["{prompt}"] } });
      expect(best(routed)).toEqual(best(await finish(sample, run)));
    }
  });

  test("demands a reward that judges drafts, and templates with a place for the prompt", async () => {
    const whole = { ...likesC(), acceptsPrefixes: false };
    await expect(finish(promptRouter, { reward: whole })).rejects.toMatchObject({
      param: "alignment.reward",
    });
    const placeless = { reward: likesC(), options: { templates: ["Think."] } };
    await expect(finish(promptRouter, placeless)).rejects.toMatchObject({
      param: "alignment.templates.0",
    });
  });

  test("puts the last user message into the template's words, and refuses token ids", async () => {
    const { policy, prompts } = obedient();
    const run = { policy, reward: likesC(), options: { templates: ["{prompt}, please"] } };
    const messages = [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "c" },
      { role: "user", content: "More" },
    ];
    await finish(promptRouter, { ...run, conversation: { kind: "chat", messages } });
    expect(prompts[0]).toMatch(/Hi\b(?!, please).*More, please/s);
    const tokens = { kind: "tokens", tokens: [40, 41] } as const;
    await expect(finish(promptRouter, { ...run, conversation: tokens })).rejects.toMatchObject({
      param: "prompt",
    });
  });

  test("fills in a prompt that looks like a pattern of replacement as it is", async () => {
    const { policy, prompts } = obedient();
    const run = { policy, reward: likesC(), options: { templates: ["$& {prompt} $1"] } };
    await finish(promptRouter, run);
    expect(prompts).toEqual(["$& ? $1"]);
  });
});
