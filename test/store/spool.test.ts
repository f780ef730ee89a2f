import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { openSpool, type Spool } from "../../src/store/spool.ts";
import { type Fault, FaultyDisk } from "../support/faulty-disk.ts";

const folder = "/log";
const first = "/log/0000000001.log";

async function openOn(
  disk: FaultyDisk,
  limits: { segmentBytesMax?: number; waitingBytesMax?: number } = {},
) {
  const lines: string[] = [];
  const spool = await openSpool({
    folder,
    files: disk,
    log: (line) => lines.push(line),
    ...limits,
  });
  return { spool, lines };
}

async function readAll(spool: Spool): Promise<string[]> {
  const all: string[] = [];
  for (let at = spool.start; ; ) {
    const { records, next } = await spool.read(at, 64);
    if (records.length === 0) return all;
    all.push(...records.map(({ json }) => json));
    at = next;
  }
}

const append = (spool: Spool, text: string) => spool.append("test", JSON.stringify(text));

/** A gate for flushes: they wait until it is opened. */
function holdFlushes(disk: FaultyDisk) {
  let open = () => {};
  let arrived = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const waiting = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  disk.beforeSync = () => {
    arrived();
    return opened;
  };
  return { open, waiting };
}

describe("an append", () => {
  test("is read back after opening again, in order, whatever the text", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    const texts = ["plain", "", "line\nfeed", "\u0000 \ud800 ✓ 😀", "x".repeat(5000)];
    for (const text of texts) await append(spool, text);
    await spool.close();
    expect((await readAll((await openOn(disk)).spool)).map((json) => JSON.parse(json))).toEqual(
      texts,
    );
  });

  test("is pending until the disk has flushed it, and shares its flush with those that wait", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    const gate = holdFlushes(disk);
    let acknowledged = 0;
    const count = () => {
      acknowledged += 1;
    };
    const appends = [append(spool, "first").then(count)];
    await gate.waiting;
    for (let i = 0; i < 50; i++) appends.push(append(spool, `later ${i}`).then(count));
    expect(acknowledged).toBe(0);
    gate.open();
    await Promise.all(appends);
    expect(acknowledged).toBe(51);
    expect(spool.stats).toMatchObject({ flushes: 2, waitingBytes: 0, waitingRecords: 0 });
  });

  test("is refused with store_busy while too much waits, and taken again afterwards", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk, { waitingBytesMax: 100 });
    const gate = holdFlushes(disk);
    const large = append(spool, "x".repeat(90)); // 92 bytes of JSON
    await expect(append(spool, "7 bytes")).rejects.toMatchObject({
      code: "store_busy",
      status: 503,
    });
    gate.open();
    await large;
    await append(spool, "7 bytes");
    expect(await readAll(spool)).toHaveLength(2);
  });

  test("is refused with shutting_down after close, which waits for the others", async () => {
    const { spool } = await openOn(new FaultyDisk());
    const written = append(spool, "before");
    await spool.close();
    await expect(written).resolves.toBeUndefined();
    await expect(append(spool, "after")).rejects.toMatchObject({ code: "shutting_down" });
  });

  test("begins a new file when the last one is full", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk, { segmentBytesMax: 300 });
    for (let i = 0; i < 20; i++) await append(spool, `record ${i}`);
    expect(spool.stats.segments).toBeGreaterThan(2);
    expect(disk.paths()).toHaveLength(spool.stats.segments);
    const again = (await openOn(disk)).spool;
    expect(await readAll(again)).toEqual(Array.from({ length: 20 }, (_, i) => `"record ${i}"`));
    expect(again.logId).toBe(spool.logId);
  });
});

describe("a disk that fails", () => {
  const cases: [name: string, operation: string, fault: Fault][] = [
    ["is full", "write", { code: "ENOSPC" }],
    ["reports an error on writing", "write", { code: "EIO" }],
    ["reports an error on flushing", "sync", { code: "EIO" }],
  ];

  test.each(cases)(
    "rejects everything that waits when it %s, and goes on when it works again",
    async (_, broken, fault) => {
      const disk = new FaultyDisk();
      const { spool } = await openOn(disk);
      await append(spool, "kept");
      disk.fault = (operation) => (operation === broken ? fault : null);
      const results = await Promise.allSettled(["a", "b", "c"].map((text) => append(spool, text)));
      for (const result of results) {
        expect(result).toMatchObject({
          status: "rejected",
          reason: { code: "store_failed", status: 503 },
        });
      }
      expect(spool.stats).toMatchObject({ waitingBytes: 0, waitingRecords: 0 });
      disk.fault = () => null;
      await append(spool, "after");
      // What a kernel keeps of a file that it failed to flush cannot be known.
      expect(spool.stats.segments).toBe(broken === "sync" ? 2 : 1);
      expect(await readAll(spool)).toEqual(['"kept"', '"after"']);
      expect(await readAll((await openOn(disk)).spool)).toEqual(['"kept"', '"after"']);
    },
  );

  test("names the cause and the remedy", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    disk.fault = () => ({ code: "ENOSPC" });
    await expect(append(spool, "x")).rejects.toThrow(
      "The log in /log cannot be written: no space is left on the disk (ENOSPC). Free some space",
    );
  });

  test("may take a write in small pieces", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    disk.fault = (operation) => (operation === "write" ? { takes: 3 } : null);
    await append(spool, "in pieces of three bytes");
    expect(await readAll((await openOn(disk)).spool)).toEqual(['"in pieces of three bytes"']);
  });

  test("leaves no half-written record behind when it fills up in the middle of one", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    await append(spool, "kept");
    const size = disk.content(first).length;
    let writes = 0;
    disk.fault = (operation) => {
      if (operation !== "write") return null;
      writes += 1;
      return writes === 1 ? { takes: 20 } : { code: "ENOSPC" };
    };
    await expect(append(spool, "half-written")).rejects.toMatchObject({ code: "store_failed" });
    expect(disk.content(first)).toHaveLength(size);
  });

  test("that cannot even cut the file back gets a new file, and the old end does not count", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    await append(spool, "kept");
    disk.fault = (operation) =>
      operation === "sync" || operation === "truncate" ? { code: "EIO" } : null;
    await expect(append(spool, "whole, and rejected")).rejects.toMatchObject({
      code: "store_failed",
    });
    disk.fault = () => null;
    await append(spool, "after");
    expect(disk.content(first).toString()).toContain("whole, and rejected");
    const { spool: again, lines } = await openOn(disk);
    expect(await readAll(again)).toEqual(['"kept"', '"after"']);
    expect(lines.join()).toMatch(/0000000001\.log: cut \d+ bytes at \d+/);
  });
});

describe("opening", () => {
  test("cuts a torn tail and says so", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    await append(spool, "kept");
    const { offset } = spool.end;
    await append(spool, "torn");
    const file = await disk.reopen(first);
    await file.truncate(disk.content(first).length - 1);
    const { spool: again, lines } = await openOn(disk);
    expect(await readAll(again)).toEqual(['"kept"']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(`at ${offset}, of writes that were never acknowledged`);
    expect(disk.content(first)).toHaveLength(offset);
  });

  test("refuses damage before acknowledged records, with file, offset and remedy", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk);
    await append(spool, "a");
    const { offset } = spool.end;
    await append(spool, "damaged");
    await append(spool, "b");
    disk.content(first)[offset + 20]! ^= 1;
    await expect(openOn(disk)).rejects.toMatchObject({ code: "log_corrupt" });
    await expect(openOn(disk)).rejects.toThrow(
      `The log file ${first} is damaged at byte ${offset}: a record there is broken, and records after it are whole. ` +
        `Restore it from a backup, or give up the records behind that byte: truncate -s ${offset} ${first}`,
    );
  });

  test("refuses an older file that is missing, short or of another log", async () => {
    const make = async () => {
      const disk = new FaultyDisk();
      const { spool } = await openOn(disk, { segmentBytesMax: 200 });
      for (let i = 0; i < 12; i++) await append(spool, `record ${i}`);
      expect(disk.paths().length).toBeGreaterThan(3);
      return disk;
    };
    const missing = await make();
    await missing.remove("/log/0000000002.log");
    await expect(openOn(missing)).rejects.toThrow(
      /0000000002\.log is damaged at byte 0: the file is missing/,
    );
    const short = await make();
    await (await short.reopen("/log/0000000002.log")).truncate(150);
    await expect(openOn(short)).rejects.toThrow(
      /0000000002\.log is damaged at byte 150: the file ends there/,
    );
    const foreign = await make();
    const bytes = (await make()).content("/log/0000000002.log");
    await (await foreign.create("/log/0000000002.log")).write(bytes, 0);
    await expect(openOn(foreign)).rejects.toThrow(
      /0000000002\.log is damaged at byte 0: it is segment 2 of log/,
    );
  });

  test("goes on without the oldest files when they were moved away", async () => {
    const disk = new FaultyDisk();
    const { spool } = await openOn(disk, { segmentBytesMax: 200 });
    for (let i = 0; i < 12; i++) await append(spool, `record ${i}`);
    await disk.remove(first);
    const { spool: again } = await openOn(disk);
    expect(again.start.segment).toBe(2);
    expect((await readAll(again)).at(-1)).toBe('"record 11"');
  });
});

test("reading reports a record that was damaged after it was written", async () => {
  const disk = new FaultyDisk();
  const { spool } = await openOn(disk, { segmentBytesMax: 200 });
  const { offset } = spool.end;
  for (let i = 0; i < 6; i++) await append(spool, `record ${i}`);
  disk.content(first)[offset + 15]! ^= 1;
  await expect(readAll(spool)).rejects.toThrow(
    new RegExp(
      `damaged at byte ${offset}: the record's checksum is wrong. Restore 0000000001.log from a backup, or move`,
    ),
  );
});

test("removing the oldest files keeps the rest readable", async () => {
  const disk = new FaultyDisk();
  const { spool } = await openOn(disk, { segmentBytesMax: 200 });
  for (let i = 0; i < 12; i++) await append(spool, `record ${i}`);
  const before = await readAll(spool);
  await spool.removeThrough(2);
  expect(spool.start.segment).toBe(3);
  const left = await readAll((await openOn(disk)).spool);
  expect(left).toEqual(before.slice(-left.length));
  expect(left.length).toBeGreaterThan(3);
});

/**
 * Power cuts and process deaths at any moment, on a disk that also fails: whatever the order, every acknowledged
 * record is in the log once and in order, and the log opens.
 */
test("loses nothing that it acknowledged, whatever fails and whenever the power goes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const random = createRandom(seed);
      const chance = (p: number) => random.uniform() < p;
      let disk = new FaultyDisk();
      const acknowledged: string[] = [];
      let nextId = 0;
      for (let life = 0; life < 4; life++) {
        disk.fault = () => null;
        const { spool } = await openOn(disk, { segmentBytesMax: 700 });
        const faults = chance(0.5) ? 0.15 : 0;
        disk.fault = (operation) => {
          if (operation === "write" && chance(0.2)) return { takes: 1 + random.integer(60) };
          return chance(faults) ? { code: chance(0.5) ? "EIO" : "ENOSPC" } : null;
        };
        const lastTick = random.integer(60);
        const thisLife: string[] = [];
        for (let tick = 0; tick < lastTick; tick++) {
          if (chance(0.4)) {
            const text = `${nextId++} ${"x".repeat(random.integer(150))}`;
            const acknowledge = () => {
              thisLife.push(text);
            };
            append(spool, text).then(acknowledge, () => {});
          }
          await Promise.resolve();
        }
        // It dies here, with writes under way; what goes on in the dead process reaches the old disk only.
        acknowledged.push(...thisLife);
        disk = chance(0.7) ? disk.afterPowerCut(() => chance(0.5)) : disk.afterKill();
      }
      disk.fault = () => null;
      const found = (await readAll((await openOn(disk)).spool)).map((json) => JSON.parse(json));
      expect(new Set(found).size).toBe(found.length);
      const known = new Set(acknowledged);
      expect(found.filter((text) => known.has(text))).toEqual(acknowledged);
    }),
    { numRuns: 1000 },
  );
});
