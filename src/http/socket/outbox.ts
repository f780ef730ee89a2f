/**
 * What waits to be written to one socket, bounded. Final text is never dropped: `send` resolves only
 * when there is room again, and its caller asks for nothing more until then. The progress of a search
 * is joined instead, and dropped once it is out of date.
 */
import type { WebSocket } from "ws";
import type { ServerMessage } from "./protocol.ts";

export type Progress = Extract<ServerMessage, { type: "alignment.candidate.delta" }>;

export interface Outbox {
  send(message: ServerMessage): Promise<void>;
  /** Never waits; the text joins what is held back while the reader is slow. */
  progress(message: Progress): void;
  /** Drops held-back progress: of one candidate, or of a whole answer. */
  forget(id: string, index?: number): void;
}

/** @param bufferBytesMax above it, senders wait and progress is held back. */
export function createOutbox(socket: WebSocket, bufferBytesMax: number): Outbox {
  /** Answer id → candidate → text held back. */
  const heldBack = new Map<string, Map<number, string>>();
  const hasRoom = () => socket.bufferedAmount < bufferBytesMax;

  return {
    send(message) {
      // Resolves when everything up to this message has left, or the socket is closed.
      const written = new Promise<void>((resolve) => {
        socket.send(JSON.stringify(message), () => resolve());
      });
      return hasRoom() ? Promise.resolve() : written;
    },
    progress({ type, id, index, delta }) {
      const held = heldBack.get(id) ?? new Map<number, string>();
      const text = (held.get(index) ?? "") + delta;
      if (hasRoom()) {
        held.delete(index);
        socket.send(JSON.stringify({ type, id, index, delta: text }));
      } else {
        heldBack.set(id, held.set(index, text));
      }
    },
    forget(id, index) {
      if (index === undefined) heldBack.delete(id);
      else heldBack.get(id)?.delete(index);
    },
  };
}
