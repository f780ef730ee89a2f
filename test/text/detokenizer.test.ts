import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Detokenizer } from "../../src/text/detokenizer.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import { byteLevelTokenizer, sentencePieceTokenizer } from "./support.ts";

const byteLevel = byteLevelTokenizer();
const sentencePiece = sentencePieceTokenizer();

function streamed(tokenizer: Tokenizer, ids: readonly number[], stop: string[] = []) {
  const detokenizer = new Detokenizer(tokenizer, { stop });
  const pieces = ids.map((id) => detokenizer.push(id));
  return { pieces, rest: detokenizer.finish(), detokenizer };
}

/** One id per byte of the text: the vocabulary's finest tokenisation. */
const byteIds = (text: string) =>
  Array.from(Buffer.from(text), (byte) => {
    for (let id = 3; id < 3 + 256; id++) if (byteLevel.bytesOf(id)[0] === byte) return id;
    throw new Error(`no token for byte ${byte}`);
  });

describe("what is streamed is what decode gives", () => {
  test.each([
    ["byte-level", byteLevel],
    ["SentencePiece", sentencePiece],
  ])("for any ids of a %s vocabulary, valid UTF-8 or not", (_, tokenizer) => {
    const id = fc.nat({ max: tokenizer.vocabSize + 2 });
    fc.assert(
      fc.property(fc.array(id, { maxLength: 60 }), (ids) => {
        const { pieces, rest, detokenizer } = streamed(tokenizer, ids);
        expect(pieces.join("") + rest).toBe(tokenizer.decode(ids));
        expect(detokenizer.text).toBe(tokenizer.decode(ids));
        expect(detokenizer.stopped).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    "👩‍👩‍👧 family 🎉",
    "日本語のテキスト",
    "e\u0301 combining n\u0303",
    "\u{FEFF}bom\u{FEFF}",
    "\u0000",
  ])("for %j, byte by byte, in whole characters", (text) => {
    const { pieces, rest } = streamed(byteLevel, byteIds(text));
    expect(rest).toBe("");
    expect(pieces.filter((piece) => piece !== "")).toEqual(Array.from(text));
  });

  test("a character is given out with its last byte, and not later", () => {
    expect(streamed(byteLevel, byteIds("a😀b")).pieces).toEqual(["a", "", "", "", "😀", "b"]);
  });

  test("a character that never ends becomes U+FFFD at the end", () => {
    const { pieces, rest } = streamed(byteLevel, byteIds("a😀").slice(0, -1));
    expect(pieces).toEqual(["a", "", "", ""]);
    expect(rest).toBe("\u{FFFD}");
  });

  test("special tokens are left out, or written when asked for", () => {
    const ids = [1, ...byteLevel.encode("the"), 2];
    expect(streamed(byteLevel, ids).pieces.join("")).toBe("the");
    const verbose = new Detokenizer(byteLevel, { skipSpecial: false });
    expect(ids.map((id) => verbose.push(id)).join("")).toBe("<|im_start|>the<|im_end|>");
  });
});

/** The text before the first place where any stop string begins. */
function cut(text: string, stops: readonly string[]): string {
  const places = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...places));
}

describe("stop strings", () => {
  const unit = fc.constantFrom("a", "b", "é", "日", "😀", "😁", "\n");
  const text = fc.string({ unit, maxLength: 30 });
  const stops = fc.array(fc.string({ unit, minLength: 1, maxLength: 4 }), { maxLength: 4 });
  /** The text cut anywhere, also inside characters, each part encoded by itself or byte by byte. */
  const tokenised = fc
    .tuple(text, fc.array(fc.nat({ max: 120 })), fc.boolean())
    .map(([whole, cuts, fine]) => {
      if (fine) return { whole, ids: byteIds(whole) };
      const places = [
        0,
        ...cuts.filter((at) => at < whole.length).sort((a, b) => a - b),
        whole.length,
      ];
      const parts = places.slice(1).map((end, i) => whole.slice(places[i], end));
      const isSafe = parts.every((part) => !/\p{Surrogate}/u.test(part));
      return {
        whole,
        ids: isSafe ? parts.flatMap((part) => byteLevel.encode(part)) : byteLevel.encode(whole),
      };
    });

  test("cut the text where the first of them begins, however it is tokenised", () => {
    fc.assert(
      fc.property(tokenised, stops, ({ whole, ids }, stop) => {
        const { pieces, rest, detokenizer } = streamed(byteLevel, ids, stop);
        const expected = cut(whole, stop);
        expect(pieces.join("") + rest).toBe(expected);
        expect(detokenizer.stopped).toBe(expected !== whole);
        if (detokenizer.stopString !== null) {
          expect(stop).toContain(detokenizer.stopString);
          expect(whole.startsWith(detokenizer.stopString, expected.length)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("are never given out in part: any text can still be continued to one", () => {
    fc.assert(
      fc.property(
        text,
        fc.string({ unit, minLength: 1, maxLength: 5 }),
        fc.nat(5),
        (before, stop, split) => {
          const whole = before + stop;
          const ids = byteIds(whole);
          const { pieces } = streamed(byteLevel, ids, [stop]);
          const upTo = Math.min(ids.length, split + Buffer.byteLength(before));
          const shown = pieces.slice(0, upTo).join("");
          expect(cut(whole, [stop]).startsWith(shown)).toBe(true);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("hold back no more than could become one", () => {
    const { pieces, rest } = streamed(byteLevel, byteIds("abxabab"), ["abc"]);
    expect(pieces).toEqual(["", "", "abx", "", "", "ab", ""]);
    expect(rest).toBe("ab");
  });

  test("end the stream: later tokens give nothing", () => {
    const detokenizer = new Detokenizer(byteLevel, { stop: ["\n\n"] });
    const pieces = byteIds("the\n\nline").map((id) => detokenizer.push(id));
    expect(pieces.join("")).toBe("the");
    expect(detokenizer).toMatchObject({ stopped: true, stopString: "\n\n", text: "the" });
    expect(detokenizer.finish()).toBe("");
  });

  test("of which one begins another: the shorter is reported", () => {
    for (const stop of [
      ["ab", "abc"],
      ["abc", "ab"],
    ]) {
      expect(streamed(byteLevel, byteIds("xabc"), stop).detokenizer.stopString).toBe("ab");
    }
  });

  test("inside a longer one that comes first wait for it", () => {
    expect(streamed(byteLevel, byteIds("xabcd"), ["abcd", "c"]).detokenizer.text).toBe("x");
    expect(streamed(byteLevel, byteIds("xabce"), ["abcd", "c"]).detokenizer.text).toBe("xab");
    expect(streamed(byteLevel, byteIds("xabc"), ["abcd", "c"]).detokenizer).toMatchObject({
      text: "xab",
      stopString: "c",
    });
  });

  test("that are no text never match", () => {
    expect(streamed(byteLevel, byteIds("😀"), ["\uDE00", "\uD83D"]).detokenizer.text).toBe("😀");
  });
});
