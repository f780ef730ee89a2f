/** POST /v1/adapters and DELETE /v1/adapters/{name}: adapters of the policy, loaded and unloaded while it serves. */
import { Type } from "typebox";
import type { App, HttpContext } from "../context.ts";
import { modelSchema, wireModel } from "./models.ts";
import { jsonResponses } from "./responses.ts";

const name = Type.String({ minLength: 1, description: "Its folder's name in `adaptersDir`." });

export const adapterRequestSchema = Type.Object({ name }, { additionalProperties: false });

export const adapterDeletedSchema = Type.Object(
  { object: Type.Literal("adapter.deleted"), name: Type.String(), deleted: Type.Literal(true) },
  { additionalProperties: false },
);

export function adapterRoutes(app: App, { gateway }: HttpContext): void {
  app.post(
    "/v1/adapters",
    {
      schema: {
        summary: "Load an adapter",
        body: adapterRequestSchema,
        response: jsonResponses(modelSchema, "The model that it is served as."),
      },
    },
    async ({ body }) => wireModel(await gateway.loadAdapter(body.name)),
  );
  app.delete(
    "/v1/adapters/:name",
    {
      schema: {
        summary: "Unload an adapter, after the last request that runs with it",
        params: Type.Object({ name }),
        response: jsonResponses(adapterDeletedSchema, "It is gone."),
      },
    },
    async ({ params }) => {
      await gateway.unloadAdapter(params.name);
      return { object: "adapter.deleted", name: params.name, deleted: true };
    },
  );
}
