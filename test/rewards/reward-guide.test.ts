/** What a reward model's guide scores, and that it scores the tokens a whole text would have. */
import { describe, expect, test } from "vitest";
import type { RewardGuide, ScoredAt } from "../../src/rewards/define.ts";
import { createRewardModel } from "../../src/rewards/reward-model.ts";
import { ChatTemplate } from "../../src/text/chat-template.ts";
import { type CannedScorer, cannedScorer } from "../support/canned-scorer.ts";
import { chatTokenizer, end, template, tokenizer } from "../support/tabular-policy.ts";

const messages = [{ role: "user", content: "Hello?" }];
const { signal } = new AbortController();
/** Hardly two sequences of tokens have the same; whole in float32. */
const hash = (tokens: readonly number[]) =>
  tokens.reduce((value, id) => (value * 1_000_003 + id) % 16_777_213, 7);
const [a, b] = ["a", "b"].map((letter) => tokenizer.idOf(letter)!) as [number, number];
const prompt = tokenizer.encode(template.render(messages, { addGenerationPrompt: true }), {
  special: "parse",
});
const turnEnd = tokenizer.encode("<|im_end|>\n", { special: "parse" });

function open(scorer: CannedScorer = cannedScorer(hash), chatTemplate = template) {
  const model = createRewardModel({ id: "judge", scorer, tokenizer, template: chatTemplate });
  return model.open({ messages }, signal);
}

async function guideOf(
  scorer: CannedScorer,
  at: ScoredAt,
  { chatTemplate = template, policy = tokenizer } = {},
): Promise<RewardGuide> {
  const endTokens = new Set([end]);
  const guide = await open(scorer, chatTemplate).guide!({ tokenizer: policy, endTokens, at });
  if ("problem" in guide) throw new Error(guide.problem);
  return guide;
}

describe("a guide", () => {
  test("at the end of the turn gives what whole texts get", async () => {
    const session = open();
    const guide = await guideOf(cannedScorer(hash), "end-of-turn");
    let text = "";
    for (const [letters, chosen] of [
      ["abc", 1],
      ["xyz", 2],
      ["mn", 0],
    ] as const) {
      const ids = Array.from(letters).map((letter) => tokenizer.idOf(letter)!);
      const scores = await guide.branch([...ids, end]);
      const texts = [...Array.from(letters).map((letter) => text + letter), text];
      expect(scores).toEqual(await Promise.all(texts.map((each) => session.score(each))));
      await guide.accept(chosen);
      text += letters[chosen];
    }
  });

  test("at the token ends unfinished answers there, and finished ones at the end of the turn", async () => {
    const scorer = cannedScorer(hash);
    const guide = await guideOf(scorer, "token");
    await guide.branch([a, b, end]);
    await guide.accept(0);
    const scores = await guide.branch([b, end]);
    const wholes = [
      [...prompt, a, b],
      [...prompt, a, ...turnEnd],
    ];
    expect(scorer.branches.at(-1)).toEqual(wholes);
    expect(scores).toEqual(wholes.map(hash));
    await guide.accept(1); // an end is not appended
    await guide.branch([b]);
    expect(scorer.branches.at(-1)).toEqual([[...prompt, a, b]]);
  });

  test("runs many alternatives in several runs, and accepts one of any", async () => {
    const scorer = cannedScorer(hash);
    const guide = await guideOf(scorer, "token");
    const ids = Array.from({ length: 259 }, (_, id) => id).filter((id) => id !== end);
    const scores = await guide.branch(ids);
    expect(scores).toEqual(ids.map((id) => hash([...prompt, id])));
    expect(scorer.branches.map(({ length }) => length)).toEqual([256, 2]);
    await guide.accept(5);
    await guide.branch([a]);
    expect(scorer.branches.at(-1)).toEqual([[...prompt, ids[5], a]]);
  });

  test("has no judgement of a token that its vocabulary lacks", async () => {
    const guide = await guideOf(cannedScorer(hash), "token");
    const [known, unknown] = await guide.branch([a, tokenizer.vocabSize]);
    expect([known, unknown]).toEqual([hash([...prompt, a]), Number.NaN]);
  });

  test("says how long an answer may be, and refuses a prompt that leaves no room", async () => {
    const room = prompt.length + turnEnd.length;
    expect((await guideOf(cannedScorer(hash, room + 5), "token")).tokensMax).toBe(5);
    await expect(guideOf(cannedScorer(hash, room), "token")).rejects.toMatchObject({
      code: "answer_too_long",
    });
  });

  test("warns where the model keeps nothing of what it has read", async () => {
    expect((await guideOf(cannedScorer(hash, 512, true), "token")).warning).toBeNull();
    const rereading = await guideOf(cannedScorer(hash, 512, false), "token");
    expect(rereading.warning).toMatch(/'judge' .* reads the whole answer anew/);
  });

  test("is refused, with the reason, for other tokens and for templates that do not go on", async () => {
    const scorer = cannedScorer(hash);
    const policy = chatTokenizer(["aab", "aab"], 262);
    await expect(guideOf(scorer, "token", { policy })).rejects.toThrow("tokenizers differ");
    const source =
      "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] | upper }}!{% endfor %}" +
      "{% if add_generation_prompt %}[assistant]{% endif %}";
    const chatTemplate = new ChatTemplate(source);
    const refused = guideOf(scorer, "token", { chatTemplate });
    await expect(refused).rejects.toThrow("does not go on token by token");
  });
});
