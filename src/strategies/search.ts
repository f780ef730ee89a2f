/** The frame of a search: its events come out while it runs, its answers as soon as they are final. */
import { eventStream } from "../base/event-stream.ts";
import type {
  CutReason,
  ScoredCandidate,
  StrategyEvent,
  StrategyInput,
  StrategyResult,
} from "./define.ts";

export type Emit = (event: StrategyEvent) => void;

/** Runs the search, whose signal also aborts when its reader leaves; "done" comes last. */
export async function* searchEvents(
  input: StrategyInput,
  search: (input: StrategyInput, emit: Emit) => Promise<StrategyResult>,
): AsyncGenerator<StrategyEvent, void, void> {
  const result = yield* eventStream<StrategyEvent, StrategyResult>(input.signal, (emit, signal) =>
    search({ ...input, signal }, emit),
  );
  yield { type: "done", result };
}

/** The choices so far: each is final from the moment it is committed, and no more than were asked for are. */
export class Commits {
  readonly #indices: number[] = [];
  readonly #choices: number;
  readonly #emit: Emit;

  constructor(choices: number, emit: Emit) {
    this.#choices = choices;
    this.#emit = emit;
  }

  /** The candidate is the next choice, unless it is one already or all are made. */
  commit({ index, text, tokens, source }: ScoredCandidate): void {
    if (this.areMade || this.#indices.includes(index)) return;
    const choice = this.#indices.length;
    const said = { choice, text, tokens, candidate: index, ...(source && { source }) };
    this.#emit({ type: "text-delta", ...said });
    this.#indices.push(index);
  }

  /** Indices of candidates, first choice first. */
  get chosen(): readonly number[] {
    return this.#indices;
  }

  get areMade(): boolean {
    return this.#indices.length >= this.#choices;
  }

  /** For `drawAndScore`: candidates that still decode when all choices are made end there. */
  readonly cut = (): CutReason | null => (this.areMade ? "decided" : null);
}

/** All results; when one fails the others are ended, and settled before it is told. */
export async function allOrNothing<T>(
  signal: AbortSignal,
  start: (signal: AbortSignal) => readonly Promise<T>[],
): Promise<T[]> {
  const failed = new AbortController();
  const running = start(AbortSignal.any([signal, failed.signal]));
  try {
    return await Promise.all(running);
  } catch (error) {
    failed.abort();
    await Promise.allSettled(running);
    throw error;
  }
}
