/** Keeps a quiet socket open through proxies, and ends one whose reader takes nothing. */
import type { Socket } from "node:net";
import type { WebSocket } from "ws";

/** "Try again later": the registered close code for a peer that cannot keep up. */
export const tooSlow = 1013;

export interface LivenessOptions {
  /** Between two pings. */
  readonly keepAliveMs: number;
  /** Without a byte taken, or a ping answered, for this long the socket is closed with 1013. */
  readonly stallMsMax: number;
  /** Called then; the peer may take long to notice, or never. */
  readonly onStall: () => void;
}

/** @param connection what the socket is written to. */
export function watchReader(socket: WebSocket, connection: Socket, options: LivenessOptions): void {
  const { keepAliveMs, stallMsMax, onStall } = options;
  let unansweredPings = 0;
  const stall = () => {
    socket.close(tooSlow, "reader too slow");
    onStall();
  };
  // NOTE: Node's HTTP server left a listener that destroys the connection without a close code.
  connection.removeAllListeners("timeout");
  // Restarted by every byte that the reader takes, so a slow reader is not a stalled one.
  connection.setTimeout(stallMsMax, stall);
  const heartbeat = setInterval(() => {
    if (unansweredPings * keepAliveMs > stallMsMax) stall();
    unansweredPings += 1;
    socket.ping();
  }, keepAliveMs);
  socket.on("pong", () => {
    unansweredPings = 0;
  });
  socket.on("close", () => clearInterval(heartbeat));
}
