import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openStore, type Store, type StoreOptions } from "../../src/store/store.ts";
import { candidateRecord, requestRecord } from "../support/request-record.ts";

// A new database takes 2 to 5 s of a processor, and a loaded machine a hundred times that.
vi.setConfig({ testTimeout: 600_000 });

/** One folder and one database for the whole file: a new database takes seconds. */
let folder = "";
let store: Store;
let logged: string[] = [];

const open = (options: Partial<StoreOptions> = {}) =>
  openStore({ folder, log: (line) => logged.push(line), ...options });

async function reopen(options: Partial<StoreOptions> = {}, between = async () => {}) {
  await store.close();
  await between();
  logged = [];
  store = await open(options);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "store-"));
  store = await open();
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

test("takes records before the database is there, and reads wait for it", async () => {
  await store.append(requestRecord("first"));
  expect(store.stats).toMatchObject({ database: "opening", caughtUp: false, flushes: 1 });
  expect(await store.count()).toBe(1);
  expect(store.stats).toMatchObject({ database: "ready", caughtUp: true, importedRecords: 1 });
});

describe("a record", () => {
  test("is read back equal, every number of it", async () => {
    const record = requestRecord("equal", {
      createdAt: 1_799_999_999_999,
      strategyOptions: { n: 2, nested: { a: [1, null, "x"], big: 1e300 } },
      messages: [{ role: "user", content: 'quotes " and \\ and {braces}, [1,2] ✓ 😀' }],
      rewardRevision: null,
      candidates: [
        candidateRecord({
          logprobs: [-0.1, Number.NEGATIVE_INFINITY, Number.NaN, -5e-324, -1.7976931348623157e308],
          tokens: [0, 1, 2, 3, 2 ** 31 - 1],
          text: "a\tb\n\u2028",
          rewards: { x: Number.NaN, y: Number.POSITIVE_INFINITY, z: null, "the reward": 0.1 + 0.2 },
        }),
        candidateRecord({ index: 1, tokens: [], logprobs: [], rewards: {}, finishReason: "error" }),
        candidateRecord({
          index: 2,
          rewardFlags: ["asked-again", "mean-logprob"],
          source: { model: "large", revision: "large-1", promptTokens: [1, 2] },
        }),
      ],
      outcome: "failed",
      error: "it's broken",
      user: "somebody",
      metadata: null,
    });
    await store.append(record);
    expect(await store.request("equal")).toEqual(record);
  });

  test("without candidates is a record too", async () => {
    const record = requestRecord("none", { candidates: [], messages: null, outcome: "cancelled" });
    await store.append(record);
    expect(await store.request("none")).toEqual(record);
  });

  test("with text that PostgreSQL cannot hold is stored with U+FFFD, and kept as it came in the log", async () => {
    const messages = "zero \0, half \ud800";
    await store.append(requestRecord("unholdable", { messages, createdAt: 5 }));
    expect((await store.request("unholdable"))?.messages).toBe("zero \ufffd, half \ufffd");
    const log = await readFile(join(folder, "log", "0000000001.log"), "utf8");
    expect(log).toContain(JSON.stringify(messages));
  });

  test("that comes twice with one id is the first one, in one batch or two", async () => {
    const same = (seed: number) => store.append(requestRecord("twice", { seed, createdAt: 1 }));
    await Promise.all([same(1), same(2)]);
    expect((await store.request("twice"))?.seed).toBe(1);
    await same(3);
    expect((await store.request("twice"))?.seed).toBe(1);
  });

  test("that nobody logged is null", async () => {
    expect(await store.request("nobody")).toBeNull();
  });
});

test("pages go from the newest to the oldest, each request on one page", async () => {
  // Ten requests in pairs of the same millisecond, appended in another order.
  const ids = [3, 8, 1, 6, 0, 9, 4, 7, 2, 5];
  await Promise.all(
    ids.map((i) =>
      store.append(
        requestRecord(`page-${i}`, { createdAt: 2_000_000_000_000 + Math.floor(i / 2) }),
      ),
    ),
  );
  const pages: string[] = [];
  for (let before = {}; pages.length < 10; before = { before: pages.at(-1) }) {
    pages.push(
      ...(await store.requests({ limit: 3, ...before }))
        .map(({ id }) => id)
        .slice(0, 10 - pages.length),
    );
  }
  expect(pages).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map((i) => `page-${i}`));
  await expect(store.requests({ limit: 3, before: "nobody" })).rejects.toMatchObject({
    code: "invalid_request",
    param: "before",
  });
});

test("many records at once are all there, each with its own candidates", async () => {
  const count = await store.count();
  const records = Array.from({ length: 300 }, (_, i) =>
    requestRecord(`many-${i}`, {
      createdAt: 1000 + i,
      candidates: [0, 1, 2].map((index) => candidateRecord({ index, tokens: [i, index, i] })),
    }),
  );
  await Promise.all(records.map((record) => store.append(record)));
  expect(await store.count()).toBe(count + 300);
  for (const i of [0, 150, 299]) expect(await store.request(`many-${i}`)).toEqual(records[i]);
});

test("the folder is refused to anybody else while it is open", async () => {
  await expect(open()).rejects.toThrow(`${folder} is in use by process ${process.pid}`);
});

test("opening again imports only what is new", async () => {
  const count = await store.count();
  await reopen();
  await store.append(requestRecord("after opening again"));
  expect(await store.count()).toBe(count + 1);
  expect(store.stats).toMatchObject({ importedRecords: 1, databaseError: null });
  expect(logged).toEqual([]);
});

test("a database that cannot be opened stops neither appends nor, once it can be, reads", async () => {
  const marker = join(folder, "database.open");
  await reopen({}, () => mkdir(marker)); // a folder where a file has to be
  await expect(store.count()).rejects.toMatchObject({ code: "database_failed", status: 503 });
  expect(store.stats).toMatchObject({ database: "failed" });
  expect(store.stats.databaseError).toContain("EISDIR");
  await store.append(requestRecord("while it failed"));
  await rmdir(marker);
  expect(await store.request("while it failed")).toEqual(requestRecord("while it failed"));
  expect(store.stats).toMatchObject({ database: "ready", databaseError: null });
});

test("after a power cut the database is not trusted but built again from the log", async () => {
  const count = await store.count();
  // What a machine leaves that went down with the database open.
  await reopen({}, () => writeFile(join(folder, "database.open"), "another boot"));
  expect(await store.count()).toBe(count);
  expect(store.stats.importedRecords).toBeGreaterThanOrEqual(count);
  expect(logged.join()).toContain("the machine went down with it open");
});

test("a damaged database is kept aside and built again from the log", async () => {
  const count = await store.count();
  await reopen({}, () => writeFile(join(folder, "database", "global", "pg_control"), "damaged"));
  expect(await store.count()).toBe(count);
  expect(logged.join()).toMatch(
    /could not be opened .*; kept as .*database\.aside, and built again/,
  );
});

test("another log in place of the old one is added to the database", async () => {
  const count = await store.count();
  await reopen({}, () => rm(join(folder, "log"), { recursive: true }));
  await store.append(requestRecord("in another log"));
  expect(await store.count()).toBe(count + 1);
  expect(logged.join()).toContain("the log is another one");
});

test("beyond the retention the oldest files go, with their rows", async () => {
  await reopen({ segmentBytesMax: 20_000, retentionBytesMax: 60_000 });
  const count = await store.count();
  for (let i = 0; i < 200; i++) {
    await store.append(requestRecord(`kept-${i}`, { createdAt: 3_000_000_000_000 + i }));
  }
  await store.flush();
  const { bytes, segments } = store.stats;
  expect(bytes).toBeLessThan(60_000 + 2 * 20_000);
  expect(await readdir(join(folder, "log"))).toHaveLength(segments);
  expect(await store.request("kept-0")).toBeNull();
  expect(await store.request("kept-199")).not.toBeNull();
  const kept = (await store.requests({ limit: 1000 })).filter(({ id }) => id.startsWith("kept-"));
  expect(kept.length).toBeLessThan(150);
  expect(await store.count()).toBeLessThan(count + 150);
});

test("a closed store refuses records and reads", async () => {
  await store.close();
  await expect(store.append(requestRecord("late"))).rejects.toMatchObject({
    code: "shutting_down",
  });
  await expect(store.count()).rejects.toMatchObject({ code: "shutting_down" });
  expect(store.stats.database).toBe("closed");
});
