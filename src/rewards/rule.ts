/** What rewards that are functions of the text share. */
import { createHash } from "node:crypto";
import type { TemplateMessage } from "../text/chat-template.ts";
import type { Reward } from "./define.ts";

export interface Rule {
  readonly kind: string;
  readonly options: object;
  readonly acceptsPrefixes: boolean;
  readonly range: readonly [number, number];
}

/** A reward without memory; its revision follows from its options. */
export function ruleReward(
  id: string,
  { kind, options, acceptsPrefixes, range }: Rule,
  score: (
    text: string,
    messages: readonly TemplateMessage[],
    signal: AbortSignal,
  ) => number | Promise<number>,
): Reward {
  return {
    id,
    revision: revisionOf(kind, options),
    acceptsPrefixes,
    range,
    open: ({ messages }, signal) => ({
      score: async (text) => score(text, messages, signal),
      close: () => undefined,
    }),
  };
}

/** The kind's name and the first 6 hexadecimal digits of the SHA-256 of what it was made with. */
export function revisionOf(kind: string, ...parts: readonly unknown[]): string {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return `${kind}:${digest.slice(0, 6)}`;
}
