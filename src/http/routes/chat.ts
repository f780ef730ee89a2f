/** POST /v1/chat/completions */
import type { App, HttpContext } from "../context.ts";
import {
  askOfChat,
  chatChunkSchema,
  chatCompletionSchema,
  chatRequestSchema,
} from "../openai/chat.ts";
import { respond } from "../respond.ts";
import { answerResponses } from "./responses.ts";

export function chatRoute(app: App, context: HttpContext): void {
  app.post(
    "/v1/chat/completions",
    {
      schema: {
        summary: "Answer a conversation, by a search if `alignment` asks for one",
        body: chatRequestSchema,
        response: answerResponses(chatCompletionSchema, chatChunkSchema),
      },
    },
    (request, reply) => respond(askOfChat(request.body, context.gateway), context, request, reply),
  );
}
