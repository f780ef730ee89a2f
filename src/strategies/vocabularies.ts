/** Whether two policies mean the same by a token id, so that one may go on with what the other wrote. */
import type { Policy } from "../registry/types.ts";

const probes = 97;
const probeText = "Two policies, 1 vocabulary: naïve café — 漢字.\n\n";

/** Compares sizes, a sample of tokens over the whole range, and the encoding of a text with several scripts. */
export function speakAlike(a: Policy, b: Policy): boolean {
  if (a.vocabSize !== b.vocabSize) return false;
  const stride = Math.max(1, Math.floor(a.vocabSize / probes));
  for (let id = 0; id < a.vocabSize; id += stride) {
    if (a.tokenText(id).text !== b.tokenText(id).text) return false;
  }
  return String(a.encodeAnswer(probeText, true)) === String(b.encodeAnswer(probeText, true));
}
