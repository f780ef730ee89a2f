/**
 * A reward model or function behind OpenRLHF's `/get_reward`. Unit: the server's own.
 * Cost: one call for up to `batch_max` answers. Failure: source.ts, protocol.ts.
 * POST {query: [conversation with answer, …], prompts: [conversation without, …]} → {rewards: [x | [x], …], …}
 * A query is text in the model's own chat template, which only `template` can say; the server puts the end
 * of the sequence itself. Servers that only know `query` ignore `prompts`; `scores` and `extra_logs` are not read.
 * Source: openrlhf/cli/serve_rm.py, openrlhf/utils/remote_rm_utils.py.
 */
import { Type } from "typebox";
import { defineReward } from "../define.ts";
import { promptWriter, templateOption, textWriter } from "./conversation.ts";
import { batchMaxOption, remoteOptions } from "./options.ts";
import { remoteReward, replyReader } from "./protocol.ts";

const readReply = replyReader(Type.Object({ rewards: Type.Array(Type.Unknown()) }));

export const openrlhf = defineReward({
  name: "openrlhf",
  description: "Asks a reward model or function behind OpenRLHF's /get_reward.",
  isInline: false,
  options: Type.Object({ ...remoteOptions, template: templateOption, batch_max: batchMaxOption }),
  create(id, options, { clock }) {
    const { template } = options;
    const write = textWriter(id, template);
    const writePrompt = promptWriter(id, template);
    return remoteReward(
      { id, settings: options, clock },
      {
        name: "openrlhf",
        judging: { template },
        batchMax: options.batch_max,
        inputOf: (judged) => ({ query: write(judged), prompt: writePrompt(judged) }),
        body: (batch) => ({
          query: batch.map(({ query }) => query),
          prompts: batch.map(({ prompt }) => prompt),
        }),
        // A head of shape [batch, 1] comes as lists of one.
        read: (reply) =>
          readReply(reply).rewards.map((reward: unknown) =>
            Array.isArray(reward) && reward.length === 1 ? (reward[0] as unknown) : reward,
          ),
      },
    );
  },
});
