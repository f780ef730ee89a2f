/** Asks a judge until it is clear, as often as may be. */
import { GatewayError } from "../../base/errors.ts";
import { splitSeed } from "../../base/random.ts";
import type { ScoreOptions } from "../define.ts";
import type { JudgeSettings } from "./options.ts";
import type { Voice } from "./voice.ts";

export type Verdict =
  | { readonly isClear: true; readonly value: number; readonly attempts: number }
  | { readonly isClear: false; readonly error: GatewayError };

/** One question, asked for the `sample`-th time by a seed of its own. */
export type Hear = (question: string, sample: number, how: Hearing) => Promise<Verdict>;

export interface Hearing extends Pick<ScoreOptions, "onTokens"> {
  readonly signal: AbortSignal;
}

export interface HearingParts {
  readonly reward: string;
  readonly voice: Voice;
  readonly settings: Pick<JudgeSettings, "seed" | "attempts"> & { readonly unparsable: string };
  readonly read: (reply: string) => number | null;
  /** What `read` looks for, for errors. */
  readonly wanted: string;
}

const shownCharacters = 200;

export function createHearing({ reward, voice, settings, read, wanted }: HearingParts): Hear {
  const attempts = settings.unparsable === "next-best" ? settings.attempts : 1;
  return async (question, sample, { signal, onTokens }) => {
    const seed = splitSeed(settings.seed, sample);
    let reply = "";
    for (let attempt = 0; attempt < attempts; attempt++) {
      const asked = splitSeed(seed, attempt) >>> 1; // in [0, 2³¹), which every server takes
      const said = await voice.ask([{ role: "user", content: question }], asked, signal);
      if (said.tokens !== null) onTokens?.(said.tokens);
      reply = said.text;
      const value = read(reply);
      if (value !== null) return { isClear: true, value, attempts: attempt + 1 };
    }
    const shown = reply === "" ? "which has no text" : `"${reply.slice(0, shownCharacters)}"`;
    const params = { reward, judge: voice.name, wanted, reply: shown };
    return { isClear: false, error: new GatewayError("judge_unclear", params) };
  };
}
