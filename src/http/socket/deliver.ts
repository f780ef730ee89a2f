/** The events of one run as messages on a socket, no faster than its reader takes them. */
import { assert } from "../../base/assert.ts";
import type { Run } from "../answers.ts";
import { reportOf } from "../openai/alignment.ts";
import { createTeller } from "../openai/candidate-events.ts";
import { createTranscript, type Delta } from "../openai/transcript.ts";
import type { Outbox } from "./outbox.ts";
import type { ServerMessage } from "./protocol.ts";

export interface Addressee {
  /** The client's name for the answer. */
  readonly id: string;
  readonly outbox: Outbox;
  /** Once aborted, the answer says nothing more. */
  readonly signal: AbortSignal;
}

/** @throws what the run throws; after a cancel, the signal's reason. */
export async function deliver(run: Run, { id, outbox, signal }: Addressee): Promise<void> {
  const { ask, created } = run;
  const { detail, format, model } = ask;
  const transcript = createTranscript(ask);
  const tell = detail !== "none" && ask.events !== false ? createTeller() : () => [];
  const choices: object[] = [];
  let alignment: object | null = null;
  const aborted = rejectionOf(signal);
  const send = async (message: ServerMessage) => {
    signal.throwIfAborted();
    await Promise.race([outbox.send(message), aborted]); // a cancel does not wait for the reader
  };
  const sendText = async ({ index, isFirst, echo, piece }: Delta) => {
    const delta = isFirst ? echo + piece.text : piece.text;
    if (delta !== "") await send({ type: "response.output_text.delta", id, choice: index, delta });
  };

  for await (const { prompt, event } of run.events) {
    if (event.type === "candidate-scored") outbox.forget(id, event.index); // its whole text follows
    for (const told of tell(event)) {
      if (told.type === "alignment.candidate.delta") outbox.progress({ id, ...told });
      else await send({ id, ...told });
    }
    switch (event.type) {
      case "started":
        transcript.start(prompt, event);
        if (prompt > 0) break;
        await send({ type: "response.created", id, response_id: run.id, model, created });
        break;
      case "candidate-delta":
      case "candidate-cut":
      case "candidate-scored":
        break; // told above
      case "text-delta":
        await sendText(transcript.delta(prompt, event));
        break;
      case "done":
        for (const { delta, candidate } of transcript.finish(prompt, event.answer)) {
          await sendText(delta);
          const { index, echo, piece } = delta;
          const whole = {
            ...piece,
            text: echo + candidate.text,
            tokens: candidate.tokens,
            offset: echo.length,
          };
          choices[index] = format.choice(index, whole, candidate);
        }
        if (detail !== "none") alignment = reportOf(event.answer.report, detail);
    }
  }
  assert(transcript.isComplete(), "the gateway ends every answer with `done`");
  await send({
    type: "response.completed",
    id,
    choices,
    usage: transcript.usage(),
    alignment,
  });
}

/** Rejects once the signal aborts; nobody need listen. */
function rejectionOf(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => {});
  return aborted;
}
