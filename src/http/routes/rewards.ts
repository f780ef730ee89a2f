/** POST /v1/rewards: what a reward thinks of given answers. */
import { type Static, Type } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import type { Gateway } from "../../gateway/types.ts";
import type { App, HttpContext } from "../context.ts";
import { partsOf, partsSchema, rewardFlagsSchema, rewardSpecSchema } from "../openai/alignment.ts";
import { messageSchema, messagesOf } from "../openai/chat.ts";
import { nullable } from "../openai/fields.ts";
import { followClient } from "../respond.ts";
import { jsonResponses } from "./responses.ts";

export const rewardRequestSchema = Type.Object(
  {
    model: nullable(
      Type.String({ minLength: 1, description: "A reward's id; unset: the default." }),
    ),
    reward: nullable(
      Type.Union([Type.String({ minLength: 1 }), rewardSpecSchema], {
        description:
          "In the place of `model`: a reward's id, or a kind of reward with its options.",
      }),
    ),
    user: nullable(Type.String({ description: "For rewards that weigh by user." })),
    messages: Type.Array(messageSchema, { minItems: 1, description: "What was asked." }),
    completions: Type.Array(Type.String(), { minItems: 1, description: "Answers to score." }),
  },
  { additionalProperties: false },
);

export const rewardListSchema = Type.Object(
  {
    object: Type.Literal("list"),
    model: Type.String(),
    revision: Type.String(),
    data: Type.Array(
      Type.Object(
        {
          index: Type.Integer(),
          object: Type.Literal("reward"),
          reward: Type.Union([Type.Number(), Type.Null()], {
            description: "Raw, in the source's own unit; null: no judgement.",
          }),
          parts: Type.Optional(partsSchema),
          flags: Type.Optional(rewardFlagsSchema),
          steps: Type.Optional(
            Type.Array(
              Type.Object(
                {
                  text: Type.String(),
                  reward: Type.Union([Type.Number(), Type.Null()], {
                    description: "Probability that the step is right, given those before it.",
                  }),
                },
                { additionalProperties: false },
              ),
              { description: "Of a process reward: its steps, of which `reward` is the sum-up." },
            ),
          ),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);

export function rewardsRoute(app: App, context: HttpContext): void {
  const { gateway, config } = context;
  app.post(
    "/v1/rewards",
    {
      schema: {
        summary: "Score given answers",
        body: rewardRequestSchema,
        response: jsonResponses(rewardListSchema, "One reward for each answer, in order."),
      },
    },
    async ({ body }, reply) => {
      const { completions } = body;
      const asked = rewardOf(body, gateway);
      if (completions.length > config.requestCandidatesMax) {
        const problem = `holds more than the ${config.requestCandidatesMax} answers that one request may have`;
        throw new GatewayError("invalid_request", { param: "completions", problem });
      }
      const { signal } = followClient(reply, context);
      const prompt = { messages: messagesOf(body.messages), user: body.user ?? null };
      const scored = await gateway.score(asked, prompt, completions, signal);
      const data = scored.scores.map((reward, index) => {
        const steps = scored.steps?.[index]?.map(({ text, score }) => ({
          text,
          reward: Number.isFinite(score) ? score : null,
        }));
        const parts = scored.parts?.[index];
        const flags = scored.flags?.[index] ?? [];
        return {
          index,
          object: "reward",
          reward,
          ...(parts && { parts: partsOf(parts) }),
          ...(flags.length > 0 && { flags: [...flags] }),
          ...(steps && { steps }),
        };
      });
      return { object: "list", model: scored.reward, revision: scored.revision, data };
    },
  );
}

/** @throws GatewayError model_not_found; invalid_request where both names are given */
function rewardOf({ model, reward }: Static<typeof rewardRequestSchema>, gateway: Gateway) {
  if (model && reward) {
    const problem = "cannot be set together with 'model'; leave one of them out";
    throw new GatewayError("invalid_request", { param: "reward", problem });
  }
  if (!model) return reward ?? null;
  const known = gateway.models().flatMap(({ kind, id }) => (kind === "reward" ? [id] : []));
  if (!known.includes(model)) throw new GatewayError("model_not_found", { model, known });
  return model;
}
