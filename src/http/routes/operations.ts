/** GET /healthz, /readyz, /metrics and /openapi.json: for those who run the server. */
import { Type } from "typebox";
import type { App, HttpContext } from "../context.ts";
import { jsonResponses } from "./responses.ts";

const healthSchema = Type.Object({ status: Type.Literal("ok") }, { additionalProperties: false });

export const readinessSchema = Type.Object(
  { ready: Type.Boolean(), problems: Type.Array(Type.String()) },
  { additionalProperties: false },
);

export function operationRoutes(app: App, { gateway, metrics, running }: HttpContext): void {
  app.get(
    "/healthz",
    { schema: { summary: "The process lives", response: jsonResponses(healthSchema, "It does.") } },
    async () => ({ status: "ok" }),
  );

  app.get(
    "/readyz",
    {
      schema: {
        summary: "Requests can be answered",
        response: {
          ...jsonResponses(readinessSchema, "They can."),
          503: {
            description: "Why not yet, or no more.",
            content: { "application/json": { schema: readinessSchema } },
          },
        },
      },
    },
    async (_request, reply) => {
      const { ready, problems } = running.draining
        ? { ready: false, problems: ["shutting down"] }
        : gateway.ready();
      return reply.code(ready ? 200 : 503).send({ ready, problems });
    },
  );

  app.get(
    "/metrics",
    {
      schema: {
        summary: "Metrics in Prometheus' text format",
        response: {
          200: {
            description: "All metrics.",
            content: { "text/plain": { schema: Type.String() } },
          },
        },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );

  app.get(
    "/openapi.json",
    {
      schema: {
        summary: "This document",
        response: jsonResponses(Type.Object({}), "OpenAPI 3.1."),
      },
    },
    async () => app.swagger(),
  );
}
