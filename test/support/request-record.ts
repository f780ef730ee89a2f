/** Complete, valid records of the log; a test names only what it is about. */
import type { CandidateRecord, RequestRecord } from "../../src/store/types.ts";

export function requestRecord(id: string, fields: Partial<RequestRecord> = {}): RequestRecord {
  return {
    id,
    createdAt: 1_800_000_000_123,
    route: "/v1/chat/completions",
    model: "tiny-chat",
    policyRevision: "tiny-chat@1",
    rewardRevision: "tiny-reward@1",
    strategy: "best-of-n",
    strategyOptions: { n: 2 },
    sampling: { temperature: 0.7, stop: ["\n"] },
    seed: 2 ** 53 - 1,
    messages: [{ role: "user", content: "How many legs has a spider?" }],
    promptTokens: [1, 17, 4095],
    candidates: [candidateRecord(), candidateRecord({ index: 1, chosen: false })],
    outcome: "completed",
    error: null,
    cost: { tokens: 6, rewardCalls: 2, ms: 12.75 },
    user: null,
    metadata: { purpose: "test" },
    ...fields,
  };
}

export function candidateRecord(fields: Partial<CandidateRecord> = {}): CandidateRecord {
  return {
    index: 0,
    tokens: [5, 9, 2],
    logprobs: [-0.1234567890123456, -2.5, 0],
    text: "Eight.",
    finishReason: "stop",
    rewards: { "tiny-reward": 1.25, length: null },
    chosen: true,
    ...fields,
  };
}
