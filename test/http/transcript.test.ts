import { expect, test } from "vitest";
import type { Answer } from "../../src/gateway/types.ts";
import { askOfChat } from "../../src/http/openai/chat.ts";
import { createTranscript } from "../../src/http/openai/transcript.ts";
import type { ScoredCandidate } from "../../src/strategies/define.ts";
import { createCannedGateway } from "../support/canned-gateway.ts";
import { tabularPolicy, tokenizer } from "../support/tabular-policy.ts";

const gateway = createCannedGateway();
const body = { model: "tiny-chat", messages: [{ role: "user", content: "?" }], logprobs: true };
const ask = askOfChat(body as Parameters<typeof askOfChat>[0], gateway); // its roles are literals
const other = tabularPolicy({ id: "other" });
const { tokenText } = other;
const tokens = tokenizer.encode("ab").map((id) => ({ id, logprob: -1, top: [] }));
const source = { model: "other", revision: "table-1", prompt: [1], tokenText };
const spelled = [
  { token: "a", bytes: [0x61] },
  { token: "b", bytes: [0x62] },
];

function started() {
  const transcript = createTranscript(ask);
  const policy = gateway.policy("tiny-chat");
  transcript.start(0, { type: "started", policy, promptTokens: 1, seed: 1 });
  return transcript;
}

test("the policy's own ids spell something else", () => {
  const { tokenText: own } = gateway.policy("tiny-chat");
  expect(tokens.map(({ id }) => own(id).text)).not.toEqual(["a", "b"]);
});

test("spells tokens that another model drew in that model's alphabet, streamed or not", () => {
  const { piece } = started().delta(0, { choice: 0, text: "ab", tokens, source });
  expect(ask.format.delta(0, piece)).toMatchObject({ logprobs: { content: spelled } });

  const drawn = { index: 0, text: "ab", tokens, logprob: -2, finishReason: "stop" as const };
  const candidate: ScoredCandidate = {
    ...drawn,
    reward: 1,
    rewardProblem: null,
    cut: null,
    source,
  };
  const answer = { choices: [candidate] } as unknown as Answer; // all that is read of it
  const [last] = started().finish(0, answer);
  expect(ask.format.choice(0, last!.delta.piece, candidate)).toMatchObject({
    logprobs: { content: spelled },
  });
});
