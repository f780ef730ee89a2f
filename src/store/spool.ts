/**
 * The append-only log in front of the database. An append resolves when its record is on the disk;
 * appends that arrive while the disk is busy share its next flush (group commit).
 *
 * A failed write is undone by cutting the file back. After a failed flush the kernel may have dropped the pages and
 * report success the next time, so that file is given up: the next append starts a new one, whose header says where
 * the old one ends.
 */
import { assert } from "../base/assert.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import { diskFiles, type LogFile, type LogFiles, storeFailure, toErrno } from "./files.ts";
import { decodeFrame, encodeFrame, lines } from "./frames.ts";
import {
  createSegment,
  damagedSegment,
  damagedTail,
  type LogFolder,
  newLogId,
  recoverSegments,
  type Segment,
  writeFully,
} from "./segments.ts";

export interface Position {
  readonly segment: number;
  /** Bytes from the start of the segment; always the start of a record or the end of the file. */
  readonly offset: number;
}

export interface SpoolOptions {
  folder: string;
  log: (line: string) => void;
  /** A new file is begun when the current one has reached this size. */
  segmentBytesMax?: number;
  /** Appends are refused with store_busy while more than this waits for the disk. */
  waitingBytesMax?: number;
  files?: LogFiles;
  clock?: Clock;
}

export interface SpoolStats {
  segments: number;
  bytes: number;
  waitingRecords: number;
  waitingBytes: number;
  /** Flushes so far, and the milliseconds that writing and flushing took altogether. */
  flushes: number;
  flushMs: number;
}

const batchBytesMax = 4 * 2 ** 20;

interface Waiting {
  kind: string;
  json: Buffer;
  resolve: () => void;
  reject: (error: Error) => void;
}

/** @throws GatewayError log_corrupt, store_failed */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { folder, log, files = diskFiles } = options;
  const place: LogFolder = { files, folder, log };
  try {
    const found = await recoverSegments(place);
    if (found === null) {
      const logId = newLogId();
      const { segment, file } = await createSegment(place, logId, null);
      return new Spool(place, options, logId, [segment], file);
    }
    const file = await files.reopen(found.segments.at(-1)!.path);
    return new Spool(place, options, found.logId, found.segments, file);
  } catch (error) {
    throw storeFailure(folder, error);
  }
}

export class Spool {
  /** Differs between logs, however alike their positions. */
  readonly logId: string;
  readonly #place: LogFolder;
  readonly #segmentBytesMax: number;
  readonly #waitingBytesMax: number;
  readonly #clock: Clock;
  readonly #segments: Segment[];
  /** The last segment, for appending; null once it was given up. */
  #file: LogFile | null;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #waitingRecords = 0;
  #writing: Promise<void> | null = null;
  #closed = false;
  #flushes = 0;
  #flushMs = 0;

  constructor(
    place: LogFolder,
    options: SpoolOptions,
    logId: string,
    segments: Segment[],
    file: LogFile,
  ) {
    this.#place = place;
    this.#segmentBytesMax = options.segmentBytesMax ?? 64 * 2 ** 20;
    this.#waitingBytesMax = options.waitingBytesMax ?? 64 * 2 ** 20;
    this.#clock = options.clock ?? systemClock;
    this.logId = logId;
    this.#segments = segments;
    this.#file = file;
  }

  get start(): Position {
    const first = this.#segments[0]!;
    return { segment: first.number, offset: first.start };
  }

  /** All records before it are on the disk. */
  get end(): Position {
    const last = this.#segments.at(-1)!;
    return { segment: last.number, offset: last.bytes };
  }

  get stats(): SpoolStats {
    return {
      segments: this.#segments.length,
      bytes: this.#segments.reduce((sum, segment) => sum + segment.bytes, 0),
      waitingRecords: this.#waitingRecords,
      waitingBytes: this.#waitingBytes,
      flushes: this.#flushes,
      flushMs: this.#flushMs,
    };
  }

  /**
   * Resolves when the record is on the disk. After a rejection it may or may not be in the log.
   * @param kind one word, for the reader.  @param json without line feeds.
   * @throws GatewayError store_failed, store_busy, shutting_down
   */
  append(kind: string, json: string): Promise<void> {
    assert(/^[\w/.-]+$/.test(kind), `A record's kind is one word, not '${kind}'.`);
    assert(!json.includes("\n"), "A record of the log is one line.");
    if (this.#closed) return Promise.reject(new GatewayError("shutting_down", {}));
    const bytes = Buffer.from(json);
    const [waitingBytes, limitBytes] = [this.#waitingBytes, this.#waitingBytesMax];
    if (waitingBytes > 0 && waitingBytes + bytes.length > limitBytes) {
      return Promise.reject(new GatewayError("store_busy", { waitingBytes, limitBytes }));
    }
    this.#waitingBytes += bytes.length;
    this.#waitingRecords += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ kind, json: bytes, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  /**
   * Records from a position on, of one segment, at least one unless the end is reached.
   * @throws GatewayError log_corrupt when a record is not what was written.
   */
  async read(
    from: Position,
    bytesMax: number,
  ): Promise<{ records: { kind: string; json: string }[]; next: Position }> {
    const index = this.#segments.findIndex(({ number }) => number === from.segment);
    const segment = this.#segments[index];
    assert(segment, `The log has no segment ${from.segment}.`);
    if (from.offset >= segment.bytes) {
      const following = this.#segments[index + 1];
      if (following === undefined) return { records: [], next: from };
      return this.read({ segment: following.number, offset: following.start }, bytesMax);
    }
    const length = Math.min(bytesMax, segment.bytes - from.offset);
    const bytes = await this.#place.files.read(segment.path, from.offset, length);
    if (bytes.length < length) {
      throw this.#damaged(index, from.offset + bytes.length, "the file was shortened");
    }
    const records = [];
    let offset = from.offset;
    for (const line of lines(bytes)) {
      const frame = decodeFrame(line);
      if (frame === null) throw this.#damaged(index, offset, "the record's checksum is wrong");
      records.push({ kind: frame.kind, json: frame.json });
      offset += line.length + 1;
    }
    if (records.length > 0) return { records, next: { segment: from.segment, offset } };
    if (from.offset + length === segment.bytes) {
      throw this.#damaged(index, offset, "the record does not end");
    }
    return this.read(from, bytesMax * 2); // one record larger than the buffer
  }

  /** Size of each file that is no longer written to, oldest first. */
  get sealed(): readonly { number: number; bytes: number }[] {
    return this.#segments.slice(0, -1).map(({ number, bytes }) => ({ number, bytes }));
  }

  /** Removes the files up to and with this number, for good. The last file always stays. */
  async removeThrough(number: number): Promise<void> {
    const { files, folder } = this.#place;
    while (this.#segments.length > 1 && this.#segments[0]!.number <= number) {
      await files.remove(this.#segments[0]!.path);
      this.#segments.shift();
    }
    await files.syncFolder(folder);
  }

  /** Writes what waits, then refuses further appends. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#writeBatch(batch);
        for (const { resolve } of batch) resolve();
        this.#leave(batch);
      } catch (error) {
        // The disk refuses: whoever arrived meanwhile would fare no better. Later appends try again.
        const failed = [...batch, ...this.#waiting];
        this.#waiting = [];
        this.#leave(failed);
        for (const { reject } of failed) reject(storeFailure(this.#place.folder, error));
      }
    }
    this.#writing = null;
  }

  /** As much as is written at once without holding up the event loop. */
  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#waiting.length && bytes < batchBytesMax) {
      bytes += this.#waiting[count]!.json.length;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  #damaged(index: number, offset: number, problem: string): GatewayError {
    const isLast = index === this.#segments.length - 1;
    const { path } = this.#segments[index]!;
    return isLast ? damagedTail(path, offset, problem) : damagedSegment(path, offset, problem);
  }

  #leave(batch: readonly Waiting[]): void {
    for (const { json } of batch) this.#waitingBytes -= json.length;
    this.#waitingRecords -= batch.length;
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const begun = this.#clock.elapsedMs();
    const { segment, file } = await this.#writable();
    const bytes = Buffer.concat(
      batch.flatMap(({ kind, json }) => encodeFrame(segment.bytes, kind, json)),
    );
    try {
      await writeFully(file, bytes, segment.bytes);
    } catch (error) {
      await this.#undo(segment, file);
      throw error;
    }
    try {
      await file.sync();
    } catch (error) {
      await this.#undo(segment, file);
      await this.#giveUp(file);
      throw error;
    }
    segment.bytes += bytes.length;
    this.#flushes += 1;
    this.#flushMs += this.#clock.elapsedMs() - begun;
  }

  async #writable(): Promise<{ segment: Segment; file: LogFile }> {
    const last = this.#segments.at(-1)!;
    if (this.#file !== null && last.bytes < this.#segmentBytesMax) {
      return { segment: last, file: this.#file };
    }
    const created = await createSegment(this.#place, this.logId, last);
    const full = this.#file;
    this.#segments.push(created.segment);
    this.#file = created.file;
    await full?.close();
    return created;
  }

  async #undo(segment: Segment, file: LogFile): Promise<void> {
    try {
      await file.truncate(segment.bytes);
    } catch (error) {
      const { message } = toErrno(error);
      this.#place.log(`${segment.path}: cannot be cut back to ${segment.bytes} bytes: ${message}`);
      await this.#giveUp(file);
    }
  }

  /** Its good part stays; the header of the next segment will say where that ends. */
  async #giveUp(file: LogFile): Promise<void> {
    if (this.#file === null) return;
    this.#file = null;
    const [closed] = await Promise.allSettled([file.close()]);
    if (closed.status === "rejected") this.#place.log(`closing a log file: ${closed.reason}`);
  }
}
