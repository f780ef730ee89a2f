/**
 * SentencePiece's precompiled map of characters: a trie over UTF-8 bytes (Darts-clone's double array) whose
 * leaves point at replacements. Read as the Rust library `spm_precompiled` reads it, which differs from
 * SentencePiece itself in matching whole graphemes.
 */
import { GatewayError } from "../base/errors.ts";

/** Longer graphemes, in bytes, are mapped character by character. */
const GRAPHEME_BYTES_MAX = 5;

/**
 * @param encoded `precompiled_charsmap`: in base64, the trie's size in bytes, the trie, replacements that end in 0.
 * @returns the normaliser. @throws GatewayError checkpoint_invalid for a map that is cut off.
 */
export function characterMap(encoded: string, path: string): (text: string) => string {
  const bytes = Buffer.from(encoded, "base64");
  const trieBytes = bytes.length < 4 ? Number.NaN : bytes.readUInt32LE(0);
  if (!(trieBytes % 4 === 0 && trieBytes >= 4 && bytes.length >= 4 + trieBytes)) {
    throw new GatewayError("checkpoint_invalid", {
      path,
      problem: "the precompiled character map of the normalizer is damaged",
      remedy: "Download or export it again.",
    });
  }
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) =>
    bytes.readUInt32LE(4 + 4 * i),
  );
  const replacements = bytes.subarray(4 + trieBytes);
  const replacementOf = (part: string): string | null => {
    const at = firstMatch(units, Buffer.from(part));
    if (at === null) return null;
    const end = replacements.indexOf(0, at);
    return replacements.toString("utf8", at, end < 0 ? replacements.length : end);
  };
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (text) => {
    let mapped = "";
    for (const grapheme of graphemes(text, segmenter)) {
      const isShort = Buffer.byteLength(grapheme) <= GRAPHEME_BYTES_MAX;
      const whole = isShort ? replacementOf(grapheme) : null;
      mapped += whole ?? Array.from(grapheme, (part) => replacementOf(part) ?? part).join("");
    }
    return mapped;
  };
}

/** Graphemes of ASCII are its characters, but for line ends of two, which spares most texts the segmenter. */
function* graphemes(text: string, segmenter: Intl.Segmenter): Generator<string> {
  if (!isComplex.test(text)) yield* text;
  else for (const { segment } of segmenter.segment(text)) yield segment;
}

const isComplex = /[^\p{ASCII}]|\r/u;

/** Where the replacement of the key's shortest prefix in the trie begins, or null. */
function firstMatch(units: Uint32Array, key: Uint8Array): number | null {
  let at = offsetOf(units[0]!);
  for (const byte of key) {
    if (byte === 0) return null;
    at ^= byte;
    const unit = units[at];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return null;
    at ^= offsetOf(unit);
    if ((unit >>> 8) & 1) return (units[at] ?? 0) & 0x7fffffff;
  }
  return null;
}

const offsetOf = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
