/**
 * What waits to be written to one socket, bounded. Final text is never dropped: `send` resolves only
 * when there is room again, and its caller asks for nothing more until then. The progress of a search
 * is joined instead, and dropped once it is out of date. A reader that takes nothing is closed with 1013.
 */
import type { WebSocket } from "ws";
import type { ServerMessage } from "./protocol.ts";

/** "Try again later": the registered code for a peer that cannot keep up. */
export const tooSlow = 1013;

export type Progress = Extract<ServerMessage, { type: "alignment.candidate.delta" }>;

export interface Outbox {
  send(message: ServerMessage): Promise<void>;
  /** Never waits; the text joins what is held back while the reader is slow. */
  progress(message: Progress): void;
  /** Drops held-back progress: of one candidate, or of a whole answer. */
  forget(id: string, index?: number): void;
}

export interface OutboxOptions {
  readonly bufferBytesMax: number;
  readonly stallMsMax: number;
  /** The reader takes nothing: the socket is being closed, which it may never notice. */
  readonly onStall: () => void;
}

export function createOutbox(socket: WebSocket, options: OutboxOptions): Outbox {
  /** Answer id → candidate → text held back. */
  const heldBack = new Map<string, Map<number, string>>();
  const hasRoom = () => socket.bufferedAmount < options.bufferBytesMax;

  /** Resolves when everything up to this message has left, or never will. */
  const flushed = (text: string) =>
    new Promise<void>((resolve) => {
      const stalled = setTimeout(() => {
        socket.close(tooSlow, "reader too slow");
        options.onStall();
        resolve();
      }, options.stallMsMax);
      socket.send(text, () => {
        clearTimeout(stalled);
        resolve();
      });
    });

  return {
    send(message) {
      const written = flushed(JSON.stringify(message));
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
