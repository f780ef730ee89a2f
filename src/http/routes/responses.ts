/** What routes say of their replies in the OpenAPI document. Replies are not filtered through it. */
import { type TSchema, Type } from "typebox";
import { errorSchema } from "../errors.ts";
import { candidateEventSchema } from "../openai/candidate-events.ts";

/** One body, or the errors that any route can give. */
export const jsonResponses = (schema: TSchema, description: string) => ({
  200: { description, content: { "application/json": { schema } } },
  "4xx": errorResponse("The client can act on it."),
  "5xx": errorResponse("The server failed, or is overloaded or stopping."),
});

/** An answer as one body, or as a stream of chunks when the request says `stream`; with `alignment.events`, of events too. */
export const answerResponses = (body: TSchema, chunk: TSchema) => ({
  ...jsonResponses(body, "The answer."),
  200: {
    description: "The answer; with `stream`, server-sent events, ended by `data: [DONE]`.",
    content: {
      "application/json": { schema: body },
      "text/event-stream": { schema: Type.Union([chunk, candidateEventSchema]) },
    },
  },
});

const errorResponse = (description: string) => ({
  description,
  content: { "application/json": { schema: errorSchema } },
});
