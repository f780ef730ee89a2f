/**
 * The files of the log: `0000000001.log`, `0000000002.log`, … Each begins with a header line that says
 * where the file before it ends, so that only the last file can have an end that is in doubt.
 * This file creates segments, and at start-up decides what in them counts.
 */
import { randomUUID } from "node:crypto";
import { basename } from "node:path";
import { GatewayError } from "../base/errors.ts";
import { type LogFile, type LogFiles, segmentPath } from "./files.ts";
import { createTailChecker, decodeFrame, encodeFrame, type Frame, lines } from "./frames.ts";

export interface Segment {
  readonly number: number;
  readonly path: string;
  /** Offset of the first record. */
  readonly start: number;
  /** Everything before it is on the disk; whatever lies behind it does not count. */
  bytes: number;
}

export interface LogFolder {
  readonly files: LogFiles;
  readonly folder: string;
  readonly log: (line: string) => void;
}

interface Header {
  format: "plumbline-log/1";
  /** Tells this log from another that was put into the same folder. */
  logId: string;
  segment: number;
  previousBytes: number;
}

const headerKind = "header";
const headerBytesMax = 512;
const pieceBytes = 1 << 20;

/** Durable with its directory entry when it resolves; leaves no file behind when it rejects. */
export async function createSegment(
  { files, folder }: LogFolder,
  logId: string,
  previous: Segment | null,
): Promise<{ segment: Segment; file: LogFile }> {
  const number = (previous?.number ?? 0) + 1;
  const path = segmentPath(folder, number);
  const header: Header = {
    format: "plumbline-log/1",
    logId,
    segment: number,
    previousBytes: previous?.bytes ?? 0,
  };
  const bytes = Buffer.concat(encodeFrame(0, headerKind, Buffer.from(JSON.stringify(header))));
  const file = await files.create(path);
  try {
    await writeFully(file, bytes, 0);
    await file.sync();
    await files.syncFolder(folder);
  } catch (error) {
    // Nothing was acknowledged in it. If even this fails, start-up cuts the file or takes it as empty.
    await Promise.allSettled([file.close(), files.remove(path)]);
    throw error;
  }
  return { segment: { number, path, start: bytes.length, bytes: bytes.length }, file };
}

/** Writes all of it, however little the system takes at a time. */
export async function writeFully(file: LogFile, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += await file.write(bytes.subarray(done), offset + done);
  }
}

/**
 * Reads the folder as a crash left it: cuts a torn tail (never acknowledged), refuses damage.
 * @returns the segments in order, the last one open for appending; null for an empty folder.
 * @throws GatewayError log_corrupt
 */
export async function recoverSegments(
  place: LogFolder,
): Promise<{ logId: string; segments: Segment[] } | null> {
  await place.files.makeFolder(place.folder);
  const names = (await place.files.list(place.folder)).filter((name) => /^\d{10}\.log$/.test(name));
  const numbers = names.map((name) => Number.parseInt(name, 10)).sort((a, b) => a - b);
  const last = await recoverLast(place, numbers);
  // The process that wrote these may have died before it flushed them.
  await place.files.syncFolder(place.folder);
  if (last === null) return null;

  const segments = [last.segment];
  let next = last.header;
  for (const number of numbers.slice(0, last.index).reverse()) {
    const path = segmentPath(place.folder, number);
    checkNeighbour(place, number, next);
    const { header, start } = await readHeader(place, path);
    checkHeader(path, header, number, next.logId);
    await settleSealed(place, path, next.previousBytes);
    segments.unshift({ number, path, start, bytes: next.previousBytes });
    next = header;
  }
  return { logId: last.header.logId, segments };
}

/** The last file with a whole header; one without was being created when the process died. */
async function recoverLast(place: LogFolder, numbers: readonly number[]) {
  for (let index = numbers.length - 1; index >= 0; index--) {
    const number = numbers[index]!;
    const path = segmentPath(place.folder, number);
    const goodBytes = await settleTail(place, path);
    if (goodBytes === 0) {
      await place.files.remove(path);
      continue;
    }
    const { header, start } = await readHeader(place, path);
    checkHeader(path, header, number, header.logId);
    return { index, header, segment: { number, path, start, bytes: goodBytes } };
  }
  return null;
}

/** Cuts what a crash left behind the last whole record. @returns the length that stays. */
async function settleTail(place: LogFolder, path: string): Promise<number> {
  const checker = createTailChecker();
  for (let offset = 0; ; offset += pieceBytes) {
    const piece = await place.files.read(path, offset, pieceBytes);
    checker.add(piece);
    if (piece.length < pieceBytes) break;
  }
  const { goodBytes, durableBytes, bytes, damagedAt } = checker.result();
  if (damagedAt !== null) {
    throw damagedTail(path, damagedAt, "a record there is broken, and records after it are whole");
  }
  if (goodBytes < bytes) logCut(place, path, goodBytes, bytes);
  await settleAt(place, path, durableBytes, goodBytes);
  return goodBytes;
}

async function settleSealed(place: LogFolder, path: string, bytes: number): Promise<void> {
  const size = await place.files.size(path);
  if (size < bytes) throw damagedSegment(path, size, `the file ends there but had ${bytes} bytes`);
  if (size === bytes) return;
  logCut(place, path, bytes, size);
  await settleAt(place, path, bytes, bytes);
}

function logCut({ log }: LogFolder, path: string, to: number, from: number): void {
  log(`${path}: cut ${from - to} bytes at ${to}, of writes that were never acknowledged`);
}

/**
 * Ends the file at `bytes`, on the disk. What lies behind `durable` is written again: the kernel may hold it in memory
 * only, and think after a failed flush that it need not be written.
 */
async function settleAt({ files }: LogFolder, path: string, durable: number, bytes: number) {
  const doubtful = await files.read(path, durable, bytes - durable);
  const file = await files.reopen(path);
  try {
    await file.truncate(bytes);
    await writeFully(file, doubtful, durable);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readHeader({ files }: LogFolder, path: string) {
  const [line] = lines(await files.read(path, 0, headerBytesMax));
  const frame: Frame | null = line === undefined ? null : decodeFrame(line);
  if (line === undefined || frame?.kind !== headerKind)
    throw damagedSegment(path, 0, "it has no header");
  // Boundary: the CRC holds and the kind is ours, so this is what createSegment wrote.
  return { header: JSON.parse(frame.json) as Header, start: line.length + 1 };
}

function checkHeader(path: string, header: Header, number: number, logId: string): void {
  if (header.format !== "plumbline-log/1") {
    throw damagedSegment(
      path,
      0,
      `its format is ${String(header.format)}, which this version cannot read`,
    );
  }
  if (header.segment !== number || header.logId !== logId) {
    throw damagedSegment(
      path,
      0,
      `it is segment ${header.segment} of log ${header.logId}, misplaced`,
    );
  }
}

function checkNeighbour({ folder }: LogFolder, number: number, next: Header): void {
  if (next.segment === number + 1) return;
  throw damagedSegment(segmentPath(folder, next.segment - 1), 0, "the file is missing");
}

/** Damage is never repaired by guessing: the operator decides what to give up. */
export function damagedTail(path: string, offset: number, problem: string): GatewayError {
  const remedy = `Restore it from a backup, or give up the records behind that byte: truncate -s ${offset} ${path}`;
  return new GatewayError("log_corrupt", { file: path, offset, problem, remedy });
}

/** The same in a file that others follow. Records that were imported stay in the database. */
export function damagedSegment(path: string, offset: number, problem: string): GatewayError {
  const remedy = `Restore ${basename(path)} from a backup, or move it and all older files out of the folder to go on without them.`;
  return new GatewayError("log_corrupt", { file: path, offset, problem, remedy });
}

export const newLogId = (): string => randomUUID();
