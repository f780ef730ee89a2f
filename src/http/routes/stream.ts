/** GET /v1/stream: the WebSocket. */
import { GatewayError } from "../../base/errors.ts";
import { refuseForeignOrigin } from "../auth.ts";
import type { App, HttpContext } from "../context.ts";
import { openSession } from "../socket/session.ts";

export function streamRoute(app: App, context: HttpContext): void {
  app.route({
    method: "GET",
    url: "/v1/stream",
    schema: {
      summary: "WebSocket: many answers at once, with the progress of each search",
      response: { 101: { description: "Messages: see docs/streaming.md.", type: "null" } },
    },
    preValidation: refuseForeignOrigin,
    handler: async () => {
      throw new GatewayError("upgrade_required", {});
    },
    wsHandler: (socket, { id: requestId, log, raw }) =>
      openSession(socket, context, { requestId, log, connection: raw.socket }),
  });
}
