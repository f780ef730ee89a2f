/** What a search tells of its candidates while it runs: named server-sent events, and messages of a socket. */
import { type Static, Type } from "typebox";
import type { AnswerEvent } from "../../gateway/types.ts";
import { partsOf, partsSchema, rewardFlagsSchema } from "./alignment.ts";

const index = Type.Integer({ description: "Of the candidate." });

const eventFields = {
  delta: Type.Object({
    type: Type.Literal("alignment.candidate.delta", {
      description: "Text of a candidate, which may lose.",
    }),
    index,
    delta: Type.String(),
  }),
  scored: Type.Object({
    type: Type.Literal("alignment.candidate.scored", {
      description: "A finished candidate, with its raw reward where it has one.",
    }),
    index,
    reward: Type.Union([Type.Number(), Type.Null()]),
    reward_parts: Type.Optional(partsSchema),
    reward_flags: Type.Optional(rewardFlagsSchema),
    text: Type.String(),
    tokens: Type.Integer(),
    finish_reason: Type.Enum(["stop", "length"]),
  }),
  cut: Type.Object({
    type: Type.Literal("alignment.candidate.cut", {
      description:
        "The search ended it before it ended itself; `alignment.candidate.scored` follows.",
    }),
    index,
    reason: Type.Enum(["budget", "rejected", "decided"]),
  }),
  committed: Type.Object({
    type: Type.Literal("alignment.candidate.committed", {
      description: "It is the answer: what follows as text of this choice is its.",
    }),
    index,
    choice: Type.Integer(),
  }),
};

export const candidateEventSchema = Type.Union(Object.values(eventFields));

export type CandidateEvent =
  | Static<typeof eventFields.delta>
  | Static<typeof eventFields.scored>
  | Static<typeof eventFields.cut>
  | Static<typeof eventFields.committed>;

/** @returns a function that says what an event of one answer tells; each choice is committed once, before its end. */
export function createTeller(): (event: AnswerEvent) => CandidateEvent[] {
  const committed = new Set<number>();
  const commit = (choice: number, candidate: number | undefined): CandidateEvent[] => {
    if (candidate === undefined || committed.has(choice)) return [];
    committed.add(choice);
    return [{ type: "alignment.candidate.committed", index: candidate, choice }];
  };
  return (event) => {
    switch (event.type) {
      case "started":
        return [];
      case "candidate-delta":
        return [{ type: "alignment.candidate.delta", index: event.index, delta: event.text }];
      case "candidate-cut":
        return [{ type: "alignment.candidate.cut", index: event.index, reason: event.reason }];
      case "candidate-scored":
        return [scored(event)];
      case "text-delta":
        return commit(event.choice, event.candidate);
      case "done":
        return event.answer.choices.flatMap((candidate, choice) => commit(choice, candidate.index));
    }
  };
}

function scored({
  index: at,
  reward,
  candidate: { text, tokens, finishReason, rewardParts, rewardFlags },
}: Extract<AnswerEvent, { type: "candidate-scored" }>): CandidateEvent {
  return {
    type: "alignment.candidate.scored",
    index: at,
    reward,
    ...(rewardParts && { reward_parts: partsOf(rewardParts) }),
    ...(rewardFlags && { reward_flags: [...rewardFlags] }),
    text,
    tokens: tokens.length,
    finish_reason: finishReason,
  };
}
