/**
 * One new token for many sequences by a foreign graph. Sequences of one length run together, without padding, which is
 * exact for every kind of attention: candidates of one prompt always do.
 */
import type { Runtime } from "../../onnx/runtime/index.ts";
import { bytesPerToken, wholeBlocks } from "../cache.ts";
import type { RunningBatches } from "../policy-model.ts";
import type { Occupant, Running } from "../running.ts";
import type { DecoderSession } from "./decoder-session.ts";
import type { Distribution } from "./distribution.ts";
import type { DecoderLayout } from "./layout.ts";
import { PackedCache } from "./packed-cache.ts";
import { SequenceCache } from "./sequence-cache.ts";

export interface ImportedParts {
  readonly runtime: Runtime;
  readonly layout: DecoderLayout;
  readonly decoder: DecoderSession;
  readonly distribution: Distribution;
  readonly company: Company;
}

/** Milliseconds spent inside ONNX Runtime so far. */
export const runMsOf = ({ decoder, distribution }: ImportedParts) =>
  decoder.runMs + distribution.runMs;

/** With how many others a row may run and get the bits that it gets alone. */
export interface Company {
  /** A row that runs alone is doubled to so many. */
  readonly rowsMin: number;
  readonly rowsMax: number;
}

/** A sequence's keys and values, and at worst those of all packed for a run: what it reads and what it writes. */
const COPIES = 3;

export class ImportedBatches implements RunningBatches {
  readonly tokensMax: number;
  readonly #parts: ImportedParts;
  /** Bytes that a token is counted with. */
  readonly #perToken: number;
  readonly #caches = new Map<Running, SequenceCache>();
  readonly #packed: PackedCache;
  /** Whose keys and values lie packed: while they run together they need not be packed again. */
  #resident: readonly Running[] = [];

  constructor(parts: ImportedParts, bytesMax: number) {
    this.#parts = parts;
    this.#packed = new PackedCache(parts.runtime, parts.layout);
    this.#perToken = COPIES * bytesPerToken({ ...parts.layout, dtype: parts.layout.cacheType });
    this.tokensMax = Math.floor(bytesMax / this.#perToken);
  }

  get bytes(): number {
    const caches = [...this.#caches.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    return caches + this.#packed.bytes;
  }

  couldHold(occupant: Occupant): boolean {
    return this.fits([occupant]);
  }

  fits(occupants: readonly Occupant[]): boolean {
    const tokens = occupants.map((each) => wholeBlocks(each.tokens));
    const doubled = (this.#parts.company.rowsMin - 1) * Math.max(0, ...tokens);
    const sum = tokens.reduce((total, each) => total + each, doubled);
    return sum <= this.tokensMax;
  }

  async join(sequence: Running): Promise<void> {
    this.#caches.set(sequence, new SequenceCache(this.#parts.layout, sequence.blocks));
  }

  async leave(leaving: ReadonlySet<Running>): Promise<void> {
    for (const sequence of leaving) this.#caches.delete(sequence);
    if (this.#resident.some((sequence) => leaving.has(sequence))) this.#resident = [];
    if (this.#caches.size === 0) this.#packed.clear();
  }

  async step(onFailure: (sequences: readonly Running[], cause: unknown) => void): Promise<void> {
    const running = [...this.#caches.keys()].filter(({ sitsOut }) => !sitsOut);
    for (const group of groups(running, this.#parts.company.rowsMax)) {
      try {
        await this.#run(group);
      } catch (cause) {
        onFailure(group, cause);
      }
    }
  }

  dispose(): void {
    this.#caches.clear();
    this.#resident = [];
    this.#packed.clear();
  }

  /** @param sequences of one length. */
  async #run(sequences: readonly Running[]): Promise<void> {
    const { decoder, distribution, company } = this.#parts;
    const before = runMsOf(this.#parts);
    const rows = sequences.map((sequence) => sequence.next(1));
    const past = sequences[0]!.cachedTokens;
    const copies = Array<number>(Math.max(0, company.rowsMin - rows.length)).fill(0);
    const all = [...rows.keys(), ...copies];
    if (!this.#isResident(sequences, past)) {
      this.#packed.reset(all.length, past);
      for (const [row, i] of all.entries()) {
        this.#caches.get(sequences[i]!)!.pack(this.#packed, row);
      }
    }
    this.#resident = []; // should the run fail, nobody's tokens are there
    const tokens = all.map((i) => rows[i]!.tokens);
    const raw = await decoder.run(tokens, this.#packed, 1);
    for (const [row, sequence] of sequences.entries()) {
      this.#caches.get(sequence)!.append(this.#packed, row);
    }
    this.#resident = sequences;
    const wanted = rows.map(({ temperature }, row) => ({ row, temperature }));
    const found = await distribution.rows(raw, wanted).finally(() => raw.tensor.dispose());
    const ms = (runMsOf(this.#parts) - before) / sequences.length;
    for (const [i, sequence] of sequences.entries()) sequence.accept([found[i]!], ms);
  }

  #isResident(sequences: readonly Running[], past: number): boolean {
    const isSame = sequences.every((sequence, i) => sequence === this.#resident[i]);
    return isSame && sequences.length === this.#resident.length && past === this.#packed.length;
  }
}

/** Those of one length together, as many as may be. */
function groups(sequences: readonly Running[], rowsMax: number): Running[][] {
  const byLength = new Map<number, Running[]>();
  for (const sequence of sequences) {
    const { cachedTokens } = sequence;
    byLength.set(cachedTokens, [...(byLength.get(cachedTokens) ?? []), sequence]);
  }
  const parts: Running[][] = [];
  for (const group of byLength.values()) {
    for (let at = 0; at < group.length; at += rowsMax) parts.push(group.slice(at, at + rowsMax));
  }
  return parts;
}
