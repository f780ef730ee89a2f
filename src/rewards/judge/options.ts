/** Options of both kinds of judge: who judges, how often, and what an unclear reply means. */
import { type Static, Type } from "typebox";
import { connectionOptions, urlOption, wrong } from "../remote/options.ts";

export const judgeOptions = {
  policy: Type.Optional(
    Type.String({ minLength: 1, description: "a model served here, as the judge" }),
  ),
  url: Type.Optional(urlOption),
  ...connectionOptions,
  model: Type.Optional(Type.String({ minLength: 1, description: "name of the model at `url`" })),
  extra: Type.Record(Type.String(), Type.Unknown(), {
    default: {},
    description:
      "fields put into the body for `url`, in place of ours where the name is the same; null leaves one out",
  }),
  prompt: Type.Optional(
    Type.String({ minLength: 1, description: "what the judge is asked; unset: our own" }),
  ),
  temperature: Type.Number({
    minimum: 0,
    maximum: 2,
    default: 0,
    description: "of the judge; `samples` or `next-best` need more than 0",
  }),
  max_tokens: Type.Integer({ minimum: 1, default: 512, description: "longest reply" }),
  samples: Type.Integer({
    minimum: 1,
    maximum: 64,
    default: 1,
    description: "replies, each by a seed of its own, whose mean counts",
  }),
  attempts: Type.Integer({
    minimum: 2,
    maximum: 16,
    default: 3,
    description: "with `next-best`: replies asked for until one is clear",
  }),
  seed: Type.Integer({
    minimum: 0,
    maximum: 2 ** 31 - 1,
    default: 0,
    description: "all replies follow from it, where the judge knows seeds",
  }),
};

const judgeSchema = Type.Object(judgeOptions);
export type JudgeSettings = Static<typeof judgeSchema>;

/** @throws GatewayError invalid_request for what cannot go together. */
export function checkJudge(
  settings: JudgeSettings & { readonly unparsable: string },
  placeholders: readonly string[],
): void {
  const { policy, url, temperature, samples, unparsable, prompt } = settings;
  if ((policy === undefined) === (url === undefined)) {
    throw wrong("policy", "must be given, or else 'url': one of the two is the judge");
  }
  if (temperature === 0 && (samples > 1 || unparsable === "next-best")) {
    throw wrong("temperature", "must be above 0, or every reply is the same");
  }
  const missing = placeholders.find((name) => prompt !== undefined && !prompt.includes(name));
  if (missing !== undefined) throw wrong("prompt", `must contain ${missing}`);
}

/** What decides the replies, besides who gives them. */
export function judgingOf(
  settings: JudgeSettings & { readonly unparsable: string },
  prompt: string,
) {
  const { temperature, max_tokens, samples, attempts, seed, unparsable } = settings;
  return { prompt, temperature, max_tokens, samples, attempts, seed, unparsable };
}
