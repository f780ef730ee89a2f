/**
 * What each token stands for, in bytes, read off the decoder that `tokenizer.json` names. With it,
 * decoding is concatenation, which is what makes exact streaming possible.
 */

import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { GatewayError } from "../base/errors.ts";
import { characterBytes } from "./byte-alphabet.ts";
import type { TokenizerFiles } from "./tokenizer-files.ts";

export interface TokenBytes {
  /** By token id; an id that no token has is absent. Text = all bytes as UTF-8. */
  bytes: readonly (Uint8Array | undefined)[];
  /** Spaces that the decoder takes off the start of the text: 1 for SentencePiece, else 0. */
  leadingSpaces: number;
}

/** @throws GatewayError checkpoint_invalid for a decoder that is not byte-level or SentencePiece's. */
export function tokenBytes({ path, tokenizer }: TokenizerFiles): TokenBytes {
  const steps = decoderSteps(tokenizer.decoder);
  if (steps === null || !Value.Check(Type.Array(DecoderStep), steps)) {
    throw new GatewayError("checkpoint_invalid", {
      path,
      problem: `the decoder ${JSON.stringify(tokenizer.decoder)} is not supported`,
      remedy:
        "Supported: ByteLevel, Metaspace, or Replace, ByteFallback, Fuse and Strip in that order.",
    });
  }
  const decode = steps.some(({ type }) => type === "ByteLevel") ? byteLevel : sentencePiece(steps);
  const bytes: (Uint8Array | undefined)[] = [];
  for (const [token, id] of Object.entries(tokenizer.model.vocab)) bytes[id] = decode(token);
  const isByteLevel = decode === byteLevel;
  for (const { id, content } of tokenizer.added_tokens ?? []) {
    bytes[id] = isByteLevel ? Buffer.from(content) : decode(content);
  }
  return { bytes, leadingSpaces: leadingSpaces(steps) };
}

const DecoderStep = Type.Union([
  Type.Object({ type: Type.Literal("ByteLevel") }),
  Type.Object({
    type: Type.Literal("Replace"),
    pattern: Type.Object({ String: Type.String() }),
    content: Type.String(),
  }),
  Type.Object({ type: Type.Literal("ByteFallback") }),
  Type.Object({ type: Type.Literal("Fuse") }),
  Type.Object({
    type: Type.Literal("Strip"),
    content: Type.Literal(" "),
    start: Type.Integer({ minimum: 0 }),
    stop: Type.Literal(0),
  }),
  Type.Object({
    type: Type.Literal("Metaspace"),
    replacement: Type.Optional(Type.String()),
    prepend_scheme: Type.Optional(Type.String()),
    add_prefix_space: Type.Optional(Type.Boolean()),
  }),
]);
type DecoderStep = Static<typeof DecoderStep>;

const Sequence = Type.Object({
  type: Type.Literal("Sequence"),
  decoders: Type.Array(Type.Unknown()),
});

/** The decoder as a list; null when the order makes it something else than concatenation. */
function decoderSteps(decoder: unknown): unknown[] | null {
  const steps = Value.Check(Sequence, decoder) ? decoder.decoders : [decoder];
  const types = steps.map(
    (step) => Value.Check(Type.Object({ type: Type.String() }), step) && step.type,
  );
  const isOrdered = /^(ByteLevel|Metaspace|(Replace )*(ByteFallback )?Fuse( Strip)?)$/.test(
    types.join(" "),
  );
  return isOrdered ? steps : null;
}

function byteLevel(token: string): Uint8Array {
  const bytes = Array.from(token, (character) => characterBytes.get(character));
  // As the Rust decoder does: a token outside the alphabet stands for its own text.
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : Buffer.from(token);
}

function sentencePiece(steps: readonly DecoderStep[]): (token: string) => Uint8Array {
  const hasByteFallback = steps.some(({ type }) => type === "ByteFallback");
  return (token) => {
    const text = steps.reduce(replaced, token);
    const byte = hasByteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1] : undefined;
    return byte === undefined ? Buffer.from(text) : Uint8Array.of(Number.parseInt(byte, 16));
  };
}

function replaced(token: string, step: DecoderStep): string {
  if (step.type === "Replace") return token.replaceAll(step.pattern.String, step.content);
  return step.type === "Metaspace" ? token.replaceAll(step.replacement ?? "▁", " ") : token;
}

function leadingSpaces(steps: readonly DecoderStep[]): number {
  for (const step of steps) {
    if (step.type === "Strip") return step.start;
    if (step.type === "Metaspace") {
      return step.prepend_scheme === "never" || step.add_prefix_space === false ? 0 : 1;
    }
  }
  return 0;
}
