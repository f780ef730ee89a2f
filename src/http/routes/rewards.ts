/** POST /v1/rewards: what a reward thinks of given answers. */
import { Type } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import type { App, HttpContext } from "../context.ts";
import { partsOf, partsSchema } from "../openai/alignment.ts";
import { messageSchema, messagesOf } from "../openai/chat.ts";
import { nullable } from "../openai/fields.ts";
import { followClient } from "../respond.ts";
import { jsonResponses } from "./responses.ts";

export const rewardRequestSchema = Type.Object(
  {
    model: nullable(
      Type.String({ minLength: 1, description: "A reward's id; unset: the default." }),
    ),
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
      const model = body.model ?? null;
      const rewards = gateway.models().filter((card) => card.kind === "reward");
      if (model !== null && !rewards.some(({ id }) => id === model)) {
        throw new GatewayError("model_not_found", { model, known: rewards.map(({ id }) => id) });
      }
      if (completions.length > config.requestCandidatesMax) {
        const problem = `holds more than the ${config.requestCandidatesMax} answers that one request may have`;
        throw new GatewayError("invalid_request", { param: "completions", problem });
      }
      const { signal } = followClient(reply, context);
      const scored = await gateway.score(model, messagesOf(body.messages), completions, signal);
      const data = scored.scores.map((reward, index) => {
        const steps = scored.steps?.[index]?.map(({ text, score }) => ({
          text,
          reward: Number.isFinite(score) ? score : null,
        }));
        const parts = scored.parts?.[index];
        return {
          index,
          object: "reward",
          reward,
          ...(parts && { parts: partsOf(parts) }),
          ...(steps && { steps }),
        };
      });
      return { object: "list", model: scored.reward, revision: scored.revision, data };
    },
  );
}
