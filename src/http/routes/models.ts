/** GET /v1/models and /v1/models/{id}: policies, rewards and presets. */
import { Type } from "typebox";
import { GatewayError } from "../../base/errors.ts";
import type { ModelCard } from "../../gateway/types.ts";
import type { App, HttpContext } from "../context.ts";
import { jsonResponses } from "./responses.ts";

export const modelSchema = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("model"),
    created: Type.Integer({ description: "Unix seconds." }),
    owned_by: Type.String(),
    kind: Type.Enum(["policy", "preset", "reward"]),
    revision: Type.String({ description: "Identifies the weights." }),
    context_tokens: Type.Union([Type.Integer(), Type.Null()]),
  },
  { additionalProperties: false },
);

export const modelListSchema = Type.Object(
  { object: Type.Literal("list"), data: Type.Array(modelSchema) },
  { additionalProperties: false },
);

const oneModel = { summary: "Get one model", response: jsonResponses(modelSchema, "The model.") };
/** What the wildcard means. */
const documented = {
  schema: { ...oneModel, params: Type.Object({ id: Type.String() }) },
  url: "/v1/models/:id",
};

export function modelRoutes(app: App, { gateway }: HttpContext): void {
  app.get(
    "/v1/models",
    { schema: { summary: "List models", response: jsonResponses(modelListSchema, "All models.") } },
    async () => ({ object: "list", data: gateway.models().map(wireModel) }),
  );

  // A preset's id holds a slash, which clients send as it is or as %2F: only a wildcard takes both.
  app.get<{ Params: { "*": string } }>(
    "/v1/models/*",
    { schema: oneModel, config: { swaggerTransform: () => documented } },
    async (request) => {
      const id = request.params["*"];
      const card = gateway.models().find((model) => model.id === id);
      if (card) return wireModel(card);
      const known = gateway.models().map((model) => model.id);
      throw new GatewayError("model_not_found", { model: id, known });
    },
  );
}

export function wireModel({ id, created, kind, revision, contextTokens }: ModelCard) {
  const card = { id, object: "model", created, owned_by: "plumbline" };
  return { ...card, kind, revision, context_tokens: contextTokens };
}
