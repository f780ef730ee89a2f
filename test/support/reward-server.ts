/** A real HTTP server on a free loopback port that answers as a test says, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface Asked {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

/** Does as it likes with the response. */
export type Answer = (response: ServerResponse) => void;

export interface RewardServer {
  readonly url: string;
  readonly asked: readonly Asked[];
  /** Resolves once a client has given up a call before it was answered. */
  readonly abandoned: Promise<void>;
  close(): Promise<void>;
}

/** Closes itself when the test ends; with `afterAll`, a file's tests share it. */
export async function startRewardServer(
  answer: (asked: Asked, at: number) => Answer,
  onEnd: (close: () => Promise<void>) => void = onTestFinished,
): Promise<RewardServer> {
  const asked: Asked[] = [];
  let abandon = () => {};
  const abandoned = new Promise<void>((resolve) => {
    abandon = resolve;
  });
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown;
      const one = { path: request.url!, headers: request.headers, body };
      asked.push(one);
      answer(one, asked.length - 1)(response);
    });
    response.on("close", () => {
      if (!response.writableFinished) abandon();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  onEnd(close);
  return { url: `http://127.0.0.1:${port}`, asked, abandoned, close };
}

export const sendText =
  (text: string, status = 200, headers: Readonly<Record<string, string>> = {}): Answer =>
  (response) =>
    void response.writeHead(status, { "content-type": "application/json", ...headers }).end(text);

export const send = (value: unknown): Answer => sendText(JSON.stringify(value));

/** Nothing, ever. */
export const hang: Answer = () => {};

/** The connection is cut before a reply. */
export const hangUp: Answer = (response) => void response.destroy();
