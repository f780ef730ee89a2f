/**
 * What a client has been given of each choice. Whatever the strategy streamed, the answer's own text
 * decides: the rest of it follows at the end, and text that was sent can never have been wrong.
 */
import { assert } from "../../base/assert.ts";
import type { Answer, AnswerEvent } from "../../gateway/types.ts";
import type { Candidate, Policy } from "../../registry/types.ts";
import type { PromptEvent } from "../answers.ts";
import type { Ask, Piece, Usage } from "./format.ts";

/** A piece of choice number `index` of the whole request. */
export interface Delta {
  readonly index: number;
  readonly isFirst: boolean;
  readonly echo: string;
  readonly piece: Piece;
}

interface Sent {
  isOpen: boolean;
  text: string;
  tokens: number;
}

interface PromptState {
  readonly policy: Policy;
  readonly promptTokens: number;
  readonly sent: readonly Sent[];
  answer: Answer | null;
}

/** Text of a choice. */
type Said = Omit<Extract<AnswerEvent, { type: "text-delta" }>, "type">;

export interface Transcript {
  /** The policy's revision, once started: with the seed, it reproduces the answer. */
  readonly fingerprint: string;
  start(prompt: number, event: Extract<PromptEvent["event"], { type: "started" }>): void;
  delta(prompt: number, said: Said): Delta;
  /** What was not sent yet of each choice, with the candidate that it is. */
  finish(prompt: number, answer: Answer): { delta: Delta; candidate: Candidate }[];
  /** True once every prompt has its answer. */
  isComplete(): boolean;
  /** Of the finished answers. */
  usage(): Usage;
}

export function createTranscript(ask: Ask): Transcript {
  const states = new Map<number, PromptState>();
  let fingerprint = "";
  const stateOf = (prompt: number): PromptState => {
    const state = states.get(prompt);
    assert(state, "the gateway's first event is `started`");
    return state;
  };

  const take = (prompt: number, { choice, text, tokens, source }: Said) => {
    const { policy: own, sent } = stateOf(prompt);
    const policy = source ?? own;
    const before = sent[choice];
    assert(before, `the gateway returns ${ask.choices} choices`);
    const { echo } = ask.prompts[prompt]!;
    const piece = { text, tokens, offset: echo.length + before.text.length, policy };
    const isFirst = !before.isOpen;
    before.isOpen = true;
    before.text += text;
    before.tokens += tokens.length;
    return { index: prompt * ask.choices + choice, isFirst, echo, piece };
  };

  return {
    get fingerprint() {
      return fingerprint;
    },
    start(prompt, { policy, promptTokens }) {
      fingerprint = policy.revision;
      const sent = Array.from({ length: ask.choices }, () => ({
        isOpen: false,
        text: "",
        tokens: 0,
      }));
      states.set(prompt, { policy, promptTokens, sent, answer: null });
    },
    delta: take,
    finish(prompt, answer) {
      const state = stateOf(prompt);
      state.answer = answer;
      assert(answer.choices.length === ask.choices, `the gateway returns ${ask.choices} choices`);
      return answer.choices.map((candidate, choice) => {
        const { text, tokens } = state.sent[choice]!;
        assert(candidate.text.startsWith(text), "streamed text is a beginning of the answer");
        const rest = candidate.text.slice(text.length);
        const { source } = candidate;
        const said = { choice, text: rest, tokens: candidate.tokens.slice(tokens) };
        return { delta: take(prompt, { ...said, ...(source && { source }) }), candidate };
      });
    },
    isComplete: () =>
      [...states.values()].filter(({ answer }) => answer).length === ask.prompts.length,
    usage() {
      let [prompt_tokens, completion_tokens, cached_tokens] = [0, 0, 0];
      for (const { promptTokens, answer } of states.values()) {
        prompt_tokens += promptTokens;
        cached_tokens += answer?.report.work.promptTokensFound ?? 0;
        for (const { tokens } of answer?.choices ?? []) completion_tokens += tokens.length;
      }
      const total_tokens = prompt_tokens + completion_tokens;
      const prompt_tokens_details = { cached_tokens };
      return { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details };
    },
  };
}
