/**
 * Lets a closing server end. Node closes a connection that is idle between requests only when asked,
 * and one that never sent a request only after its headers' time limit; clients keep both in reserve.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";

const reapMs = 50;

export interface Connections {
  /** From now on, closes every connection that carries no request. */
  reap(): void;
  stop(): void;
}

export function watchConnections(server: Server): Connections {
  const unused = new Set<Socket>();
  let timer: NodeJS.Timeout | undefined;
  server.on("connection", (socket: Socket) => {
    unused.add(socket);
    socket.once("close", () => unused.delete(socket));
  });
  for (const event of ["request", "upgrade"]) {
    server.on(event, ({ socket }: IncomingMessage) => unused.delete(socket));
  }
  return {
    reap() {
      timer = setInterval(() => {
        server.closeIdleConnections();
        for (const socket of unused) socket.destroy();
      }, reapMs);
    },
    stop: () => clearInterval(timer),
  };
}
