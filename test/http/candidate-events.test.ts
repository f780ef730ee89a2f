/** What a stream tells of a search to who asks for it, and to official clients that know nothing of it. */
import { expect, test } from "vitest";
import { compileCheck } from "../../src/base/check.ts";
import { candidateEventSchema, createTeller } from "../../src/http/openai/candidate-events.ts";
import { chatChunkSchema } from "../../src/http/openai/chat.ts";
import { collect, errorOf, startServer } from "../support/http-server.ts";

const chat = "/v1/chat/completions";
const messages = [{ role: "user" as const, content: "Hello?" }];
const alignment = { strategy: "best-of-n", n: 3 };
const ask = { model: "tiny-chat", messages, seed: 1, stream: true as const, alignment };
const telling = { ...ask, alignment: { ...alignment, events: true } };

interface Frame {
  readonly event: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

function framesOf(text: string): Frame[] {
  const blocks = text.split("\n\n").filter((block) => block !== "" && !block.endsWith("[DONE]"));
  return blocks.map((block) => {
    const [, event = null, data] = /^(?:event: (.*)\n)?data: (.*)$/.exec(block)!;
    return { event, data: JSON.parse(data!) as Frame["data"] };
  });
}

async function framesFor(body: object): Promise<Frame[]> {
  const { post } = await startServer();
  return framesOf(await (await post(chat, body)).text());
}

test("named events tell of candidates, scores and the commit, in the order they come", async () => {
  const frames = await framesFor(telling);
  const named = frames.filter(({ event }) => event !== null);
  expect(named.map(({ event }) => event!.replace("alignment.candidate.", ""))).toEqual([
    "delta",
    "scored",
    "delta",
    "scored",
    "delta",
    "scored",
    "committed",
  ]);
  expect(named[1]!.data).toMatchObject({ index: 0, reward: 20, text: "Hello there, friend." });
  expect(named.at(-1)!.data).toMatchObject({ index: 0, choice: 0 });
  const firstText = frames.findIndex(({ event }) => event === null);
  expect(frames.indexOf(named.at(-1)!)).toBe(firstText - 1);
  const check = compileCheck(candidateEventSchema);
  for (const { event, data } of named) {
    const { id, object, created, model, system_fingerprint, choices, ...told } = data;
    expect(check(told)).toBeNull();
    expect(told["type"]).toBe(event);
    expect([id, object, model]).toEqual([
      expect.stringMatching(/^chatcmpl-/),
      "chat.completion.chunk",
      "tiny-chat",
    ]);
    expect([created, system_fingerprint, choices]).toEqual([expect.any(Number), "canned-1", []]);
  }
});

test("chunks are the same with events and without, as the schema says", async () => {
  const chunksOf = (text: string) => framesOf(text).filter(({ event }) => event === null);
  const anonymous = ({ data }: Frame) => ({ ...data, id: "", created: 0 });
  const { post } = await startServer();
  const [quiet, told] = await Promise.all(
    [ask, telling].map(async (body) => (await post(chat, body)).text()),
  );
  expect(quiet).not.toContain("event:");
  expect(quiet).toContain(": searching 3/3 scored");
  expect(told).not.toContain(": searching");
  const plain = chunksOf(quiet!.replace(/^: .*\n\n/gm, ""));
  expect(chunksOf(told!).map(anonymous)).toEqual(plain.map(anonymous));
  const check = compileCheck(chatChunkSchema);
  for (const { data } of plain) expect(check(data)).toBeNull();
});

test("official clients pass over them", async () => {
  const { client } = await startServer();
  const chunks = await collect(await client.chat.completions.create(telling));
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("");
  expect(text).toBe("Hello there, friend.");
  const whole = await client.chat.completions.stream(telling).finalChatCompletion();
  expect(whole.choices.map(({ message }) => message.content)).toEqual(["Hello there, friend."]);
  expect(whole).toMatchObject({ object: "chat.completion", model: "tiny-chat" });
});

test("a plain stream and one to a preset stay as they are", async () => {
  const { alignment: _, ...plain } = ask;
  expect((await framesFor(plain)).every(({ event }) => event === null)).toBe(true);
  const preset = { ...plain, model: "tiny-chat/best-of-3" };
  const { post } = await startServer();
  expect(await (await post(chat, preset)).text()).not.toContain("event:");
  const asked = await (await post(chat, { ...preset, alignment: { events: true } })).text();
  expect(asked).toContain("event: alignment.candidate.scored");
});

test("a text completion has them too", async () => {
  const { post } = await startServer();
  const { messages: _, ...rest } = telling;
  const text = await (await post("/v1/completions", { ...rest, prompt: "Hello?" })).text();
  expect(text).toContain("event: alignment.candidate.committed");
});

test("without a stream there is nobody to tell", async () => {
  const { post } = await startServer();
  const reply = await post(chat, { ...telling, stream: false });
  expect([reply.status, (await errorOf(reply)).param]).toEqual([400, "alignment.events"]);
});

test("a choice is committed once: with its first text, or at the end", () => {
  const tell = createTeller();
  const text = { type: "text-delta", choice: 0, text: "a", tokens: [] } as const;
  expect(tell(text)).toEqual([]); // whose it is is not known yet
  const committed = { type: "alignment.candidate.committed", index: 4, choice: 0 };
  expect(tell({ ...text, candidate: 4 })).toEqual([committed]);
  expect(tell({ ...text, candidate: 4 })).toEqual([]);
  expect(tell({ type: "candidate-cut", index: 2, reason: "decided" })).toEqual([
    { type: "alignment.candidate.cut", index: 2, reason: "decided" },
  ]);
});
