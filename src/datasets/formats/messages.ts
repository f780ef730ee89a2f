/** OpenAI's chat format for fine-tuning and TRL's conversational language modelling: whole conversations. */
import { RowFault } from "../fault.ts";
import { isGiven, optionalNumberAt, requiredAt, weightedMessagesOf } from "../fields.ts";
import { type DatasetFormat, wantKind } from "./define.ts";

/**
 * Every answer is imitated but those of weight 0; what follows the last of them is left out.
 * NOTE: `tools` and `parallel_tool_calls` are known and not used: no message may call a tool; nor are UltraChat's `prompt` and
 * `prompt_id`, which repeat the first message.
 */
export const messagesFormat: DatasetFormat = {
  name: "messages",
  source: "OpenAI's chat format, TRL's conversational language modelling",
  kinds: ["supervised"],
  fields: ["messages", "reward", "tools", "parallel_tool_calls", "prompt", "prompt_id"],
  recognises: (fields) => isGiven(fields["messages"]) && !isGiven(fields["candidates"]),
  read(fields, { place }) {
    const all = weightedMessagesOf(requiredAt(fields, "messages"), "messages");
    const trained = all.flatMap(({ message: { role }, weight }, i) =>
      role === "assistant" && weight !== 0 ? [i] : [],
    );
    const last = trained.pop();
    if (last === undefined) {
      throw new RowFault("wrong_field", "messages", "has no answer of the assistant to imitate");
    }
    if (last === 0) throw new RowFault("wrong_field", "messages", "begins with the only answer");
    const reward = optionalNumberAt(fields, "reward");
    return [
      {
        kind: "supervised",
        prompt: { messages: all.slice(0, last).map(({ message }) => message) },
        completion: all[last]!.message.content,
        ...(reward === undefined ? {} : { reward }),
        ...(trained.length > 0 ? { trainedTurns: trained } : {}),
        place,
      },
    ];
  },
  write(row) {
    const { prompt, completion, reward, trainedTurns = [] } = wantKind(row, "supervised");
    if ("text" in prompt) throw new RowFault("wrong_field", null, "has a bare text for a prompt");
    const before = prompt.messages.map((message, i) =>
      message.role === "assistant" && !trainedTurns.includes(i)
        ? { ...message, weight: 0 }
        : message,
    );
    return {
      messages: [...before, { role: "assistant", content: completion }],
      ...(reward === undefined ? {} : { reward }),
    };
  },
};
