/** Ours → wire: a run of answers as one body, or as the chunks of a stream. */
import { assert } from "../../base/assert.ts";
import type { Run } from "../answers.ts";
import type { StreamItem } from "../sse.ts";
import { reportOf } from "./alignment.ts";
import { createTeller } from "./candidate-events.ts";
import type { Ask } from "./format.ts";
import { createTranscript, type Delta, type Transcript } from "./transcript.ts";

/** The whole answer as one body. */
export async function collectBody(run: Run): Promise<object> {
  const { id, created, ask } = run;
  const transcript = createTranscript(ask);
  const choices: object[] = [];
  let alignment = {};
  for await (const { prompt, event } of run.events) {
    if (event.type === "started") transcript.start(prompt, event);
    if (event.type !== "done") continue;
    for (const { delta, candidate } of transcript.finish(prompt, event.answer)) {
      const { index, echo, piece } = delta;
      choices[index] = ask.format.choice(index, { ...piece, text: echo + piece.text }, candidate);
    }
    if (ask.detail !== "none") alignment = { alignment: reportOf(event.answer.report, ask.detail) };
  }
  assert(transcript.isComplete(), "the gateway ends every answer with `done`");
  const { fingerprint: system_fingerprint } = transcript;
  const head = { id, object: ask.format.object, created, model: ask.model, system_fingerprint };
  return { ...head, choices, usage: transcript.usage(), ...alignment };
}

/**
 * The answer as chunks, which hold final text only. A search shows its progress as comments, or, where the client asks
 * for it, as named events. Those are chunks without choices too, so that OpenAI's clients pass over them.
 */
export async function* streamChunks(run: Run): AsyncGenerator<StreamItem, void, void> {
  const { id, created, ask } = run;
  const { format, model, detail } = ask;
  const transcript = createTranscript(ask);
  const tell = ask.events ? createTeller() : () => [];
  const headOf = ({ fingerprint: system_fingerprint }: Transcript) => {
    return { id, object: format.chunkObject, created, model, system_fingerprint };
  };
  const chunk = (choice: object, extra: object = {}): StreamItem => {
    const head = headOf(transcript);
    const usage = ask.includeUsage ? { usage: null } : {};
    return { data: { ...head, choices: [choice], ...usage, ...extra } };
  };
  let scored = 0;
  for await (const { prompt, event } of run.events) {
    for (const told of tell(event)) {
      yield { event: told.type, data: { ...headOf(transcript), choices: [], ...told } };
    }
    switch (event.type) {
      case "started":
        transcript.start(prompt, event);
        break;
      case "candidate-delta":
      case "candidate-cut":
        break; // may never become the answer
      case "candidate-scored":
        scored += 1;
        if (detail !== "none" && !ask.events)
          yield { comment: `searching ${progress(scored, ask)} scored` };
        break;
      case "text-delta": {
        const delta = transcript.delta(prompt, event);
        yield* pieces(delta, ask).map((piece) => chunk(piece));
        break;
      }
      case "done": {
        const rests = transcript.finish(prompt, event.answer);
        for (const [choice, { delta, candidate }] of rests.entries()) {
          yield* pieces(delta, ask).map((piece) => chunk(piece));
          const isLast = choice === rests.length - 1 && detail !== "none";
          const extra = isLast ? { alignment: reportOf(event.answer.report, detail) } : {};
          yield chunk(format.finish(delta.index, candidate.finishReason), extra);
        }
      }
    }
  }
  assert(transcript.isComplete(), "the gateway ends every answer with `done`");
  if (ask.includeUsage) yield { data: usageChunk(run, transcript) };
}

/** Real progress only: the total is known when the request names it. */
function progress(scored: number, { alignment }: Ask): string {
  const n = alignment?.options["n"];
  return typeof n === "number" ? `${scored}/${n}` : String(scored);
}

function pieces({ index, isFirst, echo, piece }: Delta, { format }: Ask): object[] {
  const opening = isFirst ? format.opening(index, echo) : null;
  const hasContent = piece.text !== "" || (format.showsTokens && piece.tokens.length > 0);
  return [...(opening ? [opening] : []), ...(hasContent ? [format.delta(index, piece)] : [])];
}

function usageChunk({ id, created, ask }: Run, transcript: Transcript): object {
  const { fingerprint: system_fingerprint } = transcript;
  const head = {
    id,
    object: ask.format.chunkObject,
    created,
    model: ask.model,
    system_fingerprint,
  };
  return { ...head, choices: [], usage: transcript.usage() };
}
