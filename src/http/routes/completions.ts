/** POST /v1/completions */
import type { App, HttpContext } from "../context.ts";
import {
  askOfCompletion,
  completionChunkSchema,
  completionRequestSchema,
  completionSchema,
} from "../openai/completion.ts";
import { respond } from "../respond.ts";
import { answerResponses } from "./responses.ts";

export function completionsRoute(app: App, context: HttpContext): void {
  app.post(
    "/v1/completions",
    {
      schema: {
        summary: "Continue one text or several",
        body: completionRequestSchema,
        response: answerResponses(completionSchema, completionChunkSchema),
      },
    },
    (request, reply) =>
      respond(askOfCompletion(request.body, context.gateway), context, request, reply),
  );
}
