/** What a gateway's events come to. */
import { assert } from "../base/assert.ts";
import type { Answer, Gateway } from "../gateway/types.ts";

/** @throws GatewayError whatever the answer fails with */
export async function answered(events: ReturnType<Gateway["answer"]>): Promise<Answer> {
  let answer: Answer | null = null;
  for await (const event of events) if (event.type === "done") answer = event.answer;
  assert(answer !== null, "the gateway ended without an answer");
  return answer;
}
