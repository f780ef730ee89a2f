/**
 * One record of the log as one line of bytes, and the check of a file of such lines:
 *
 *     <crc32, 8 hex digits> <durable> <kind> <json>\n
 *
 * The CRC covers everything between its own space and the line feed. `durable` is the length of the file that was
 * known to be on the disk when the line was written. It tells a torn tail from damage: a power cut may leave any
 * part of the writes that were still under way, in any order, but nothing before `durable`.
 */
import { crc32 } from "node:zlib";

export interface Frame {
  durable: number;
  kind: string;
  json: string;
}

const lineFeed = 0x0a;
const space = 0x20;

/** @param json must hold no line feed; JSON.stringify never writes one. */
export function encodeFrame(durable: number, kind: string, json: Buffer): Buffer[] {
  const head = Buffer.from(`${durable} ${kind} `);
  const crc = crc32(json, crc32(head)).toString(16).padStart(8, "0");
  return [Buffer.from(`${crc} `), head, json, newline];
}
const newline = Buffer.of(lineFeed);

/** @param line without its line feed. @returns null when the line is not what was written. */
export function decodeFrame(line: Buffer): Frame | null {
  if (line.length < 12 || line[8] !== space) return null;
  const body = line.subarray(9);
  if (crc32(body) !== Number.parseInt(line.toString("latin1", 0, 8), 16)) return null;
  const kindStart = body.indexOf(space) + 1;
  const jsonStart = body.indexOf(space, kindStart) + 1;
  return {
    durable: Number(body.toString("latin1", 0, kindStart - 1)),
    kind: body.toString("latin1", kindStart, jsonStart - 1),
    json: body.toString("utf8", jsonStart),
  };
}

/** The complete lines of a piece of the file: `[start, end)` without the line feed. */
export function* lines(bytes: Buffer): Generator<Buffer> {
  let start = 0;
  for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed, start)) {
    yield bytes.subarray(start, end);
    start = end + 1;
  }
}

export interface TailCheck {
  /** Length of the leading part in which every line is whole. */
  goodBytes: number;
  /** Length of the part of it that is known to be on the disk. */
  durableBytes: number;
  /** Length of the file. */
  bytes: number;
  /** Offset of a line that is broken although it had been on the disk: damage, not a torn write. */
  damagedAt: number | null;
}

/** Feeds on the pieces of one file in order; the pieces may end anywhere. */
export function createTailChecker(): { add(piece: Buffer): void; result(): TailCheck } {
  let rest: Buffer = Buffer.alloc(0);
  let offset = 0; // of the first byte of `rest`
  let durableBytes = 0;
  let brokenAt: number | null = null;
  let damaged = false;
  return {
    add(piece) {
      const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      let used = 0;
      for (const line of lines(bytes)) {
        const frame = decodeFrame(line);
        if (frame === null) brokenAt ??= offset + used;
        else if (brokenAt === null) durableBytes = frame.durable;
        else if (frame.durable > brokenAt) damaged = true;
        used += line.length + 1;
      }
      rest = bytes.subarray(used);
      offset += used;
    },
    result: () => ({
      goodBytes: brokenAt ?? offset,
      durableBytes,
      bytes: offset + rest.length,
      damagedAt: damaged ? brokenAt : null,
    }),
  };
}
