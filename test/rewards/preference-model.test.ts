import { describe, expect, test } from "vitest";
import { createPreferenceModel } from "../../src/rewards/preference-model.ts";
import { ChatTemplate } from "../../src/text/chat-template.ts";
import { type CannedScorer, cannedScorer } from "../support/canned-scorer.ts";
import { chatTokenizer, template } from "../support/tabular-policy.ts";

const corpus = Array.from({ length: 50 }, () => "user\n\nHello, the world\n\n\nassistant short");
const tokenizer = chatTokenizer(corpus, 330);
const endIds = [tokenizer.idOf("<|im_end|>")!];
const never = new AbortController().signal;
const messages = [{ role: "user", content: "Hello?" }];

const open = (scorer: CannedScorer, chatTemplate = template) =>
  createPreferenceModel({
    id: "taste",
    scorer,
    format: { tokenizer, template: chatTemplate },
    endIds,
  }).open({ messages }, never);

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("a preference model", () => {
  test("reads both answers behind one prompt, as two turns, in both orders", async () => {
    const scorer = cannedScorer(() => 0);
    const session = open(scorer);
    await session.compare("the world", "short");
    session.close();
    expect(scorer.openSessions()).toBe(0);
    const turn = (text: string) => `<|im_start|>assistant\n${text}<|im_end|>\n`;
    const whole = (first: string, second: string) =>
      tokenizer.encode(`<|im_start|>user\nHello?<|im_end|>\n${turn(first)}${turn(second)}`, {
        special: "parse",
      });
    const read = scorer.calls.map(({ prompt, completion }) => [...prompt, ...completion]);
    expect(read).toEqual([whole("the world", "short"), whole("short", "the world")]);
  });

  test("gives the mean probability of both orders, and the rest of 1 to the other answer", async () => {
    const logits = [2, -0.5];
    let call = 0;
    const session = open(cannedScorer(() => logits[call++ % 2]!));
    const ab = await session.compare("a", "b");
    expect(ab).toBeCloseTo((sigmoid(2) + 1 - sigmoid(-0.5)) / 2, 12);
    const first = open(cannedScorer((ids) => Math.sin(ids.reduce((sum, id) => 31 * sum + id, 7))));
    const forth = await first.compare("the world", "short");
    expect(forth + (await first.compare("short", "the world"))).toBeCloseTo(1, 12);
    expect(await first.compare("short", "short")).toBe(0.5);
  });

  test("takes templates that refuse two turns of the assistant, or open none", async () => {
    const strict = new ChatTemplate(
      "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{ m['content'] + '<|im_end|>' }}{% endfor %}",
    );
    const scorer = cannedScorer(() => 0);
    await open(scorer, strict).compare("a", "b");
    const { prompt, completion } = scorer.calls[0]!;
    const ids = (text: string) => tokenizer.encode(text, { special: "parse" });
    expect([...prompt, ...completion]).toEqual([
      ...ids("Hello?<|im_end|>a<|im_end|>"),
      ...ids("\n\n"),
      ...ids("b<|im_end|>"),
    ]);
  });

  test("refuses to score an answer alone, and answers that are too long together", async () => {
    const session = open(cannedScorer(() => 0, 24));
    await expect(session.score("a")).rejects.toThrow(/compare/);
    await expect(session.compare("the world ".repeat(4), "a")).rejects.toThrow(/24/);
  });
});
