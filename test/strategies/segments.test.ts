/** Where pieces end, and what is shown of them: separators inside tokens, stop strings, halves of characters. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createPolicy } from "../../src/registry/policy.ts";
import { createStepRule } from "../../src/rewards/step-rule.ts";
import { Budget, unlimited } from "../../src/strategies/budget.ts";
import type { StrategyEvent } from "../../src/strategies/define.ts";
import {
  type Branch,
  type Segments,
  searchSegments,
  wholeSteps,
} from "../../src/strategies/segments.ts";
import { tabularGenerator } from "../support/tabular-generator.ts";
import { chatTokenizer, end, plainSampling } from "../support/tabular-policy.ts";

const tokenizer = chatTokenizer();
const steps = createStepRule({ separator: "\n\n", trims: false, aggregate: "min" });

/** A policy that says these tokens, one after the other, then ends. */
function saying(tokens: readonly number[]) {
  const law = (history: readonly number[]) => new Map([[tokens[history.length] ?? end, 1]]);
  const generator = tabularGenerator({ law, vocabSize: tokenizer.vocabSize });
  return createPolicy({ id: "said", created: 1, generator, tokenizer, template: null });
}

async function search<R>(
  text: string,
  run: (segments: Segments) => Promise<R>,
  stop: readonly string[] = [],
): Promise<{ found: R; events: StrategyEvent[] }> {
  const policy = saying(tokenizer.encode(text));
  const signal = new AbortController().signal;
  const input = {
    policy,
    reward: null,
    prompt: [1],
    rewardPrompt: { messages: [] },
    signal,
    sampling: plainSampling({ maxTokens: 60, stop }),
    budget: new Budget(unlimited, systemClock),
  };
  const events: StrategyEvent[] = [];
  const stream = searchSegments(input, () => null, run);
  for (;;) {
    const next = await stream.next();
    if (next.done) return { found: next.value, events };
    events.push(next.value);
  }
}

/** The texts of the pieces, and what was shown of them. */
async function pieces(text: string, segment: object, stop: readonly string[] = []) {
  const run = async (segments: Segments) => {
    const texts: string[] = [];
    let branch: Branch = segments.root();
    while (branch.end === null) {
      [branch] = (await segments.extend(branch, 1, segment)) as [Branch];
      texts.push(branch.text);
    }
    return { texts, candidates: segments.close("rejected") };
  };
  const { found, events } = await search(text, run, stop);
  const shown = events
    .map((event) => (event.type === "candidate-delta" ? event.text : ""))
    .join("");
  return { ...found, shown };
}

describe("a step", () => {
  test("ends with the token that completes the separator", async () => {
    const { texts, shown } = await pieces("a\n\nb\n\nc", { steps });
    expect(texts).toEqual(["a\n\n", "a\n\nb\n\n", "a\n\nb\n\nc"]);
    expect(shown).toBe("a\n\nb\n\nc");
  });

  test("is not ended by separators that end nothing", async () => {
    const { texts } = await pieces("\n\na\n\n\n\n b", { steps });
    expect(texts).toEqual(["\n\na\n\n", "\n\na\n\n\n\n b"]);
  });

  test("is judged only when it is whole", () => {
    expect(wholeSteps(steps, "a\n\nb\n\nbeg")).toBe("a\n\nb\n\n");
    expect(wholeSteps(steps, "beg")).toBe("");
  });

  test("ends later where its separator may yet become a stop string", async () => {
    const { texts, shown } = await pieces("a\n\nb\n\nSTOP c", { steps }, ["\n\nS"]);
    expect(texts).toEqual(["a\n\nb", "a\n\nb"]);
    expect(shown).toBe("a\n\nb");
  });
});

describe("a piece", () => {
  test("shows no half of a character, and goes on with the rest of it", async () => {
    const { texts, shown } = await pieces("aé漢b", { tokensMax: 2 });
    expect(texts).toEqual(["a", "aé", "aé漢", "aé漢b", "aé漢b"].slice(0, texts.length));
    expect(texts.join("")).not.toContain("\uFFFD");
    expect(shown).toBe("aé漢b");
  });

  test("may end before a token, which is drawn again", async () => {
    const isB = tokenizer.idOf("b")!;
    const endsBefore = ({ id }: { id: number }, drawn: number) => drawn > 0 && id === isB;
    const { texts, candidates } = await pieces("aabab", { endsBefore });
    expect(texts).toEqual(["aa", "aaba", "aabab"]);
    expect(candidates.map(({ text, cut }) => [text, cut])).toEqual([["aabab", null]]);
  });
});

describe("a search", () => {
  test("ends what runs side by side when one of it fails", async () => {
    const run = async (segments: Segments) => {
      const other = segments.extend(segments.root(), 1, {});
      await segments.all([Promise.reject(new Error("one failed")), other]);
    };
    await expect(search("abcabcabc", run)).rejects.toThrow("one failed");
  });

  test("gives other branches other random numbers, whatever runs beside them", async () => {
    const seeds = await search("abab", async (segments) => {
      const [left, right] = await segments.extend(segments.root(), 2, { tokensMax: 1 });
      const [below] = await segments.extend(left!, 1, { tokensMax: 1 });
      return [segments.root(), segments.root(1), left!, right!, below!].map(({ seed }) => seed);
    });
    expect(new Set(seeds.found).size).toBe(5);
  });
});
