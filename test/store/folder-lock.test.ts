import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockFolder } from "../../src/store/folder-lock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lock-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Another process that holds the folder the way `lockFolder` does, until it is killed. */
async function otherHolder(): Promise<{ pid: number; kill: () => Promise<void> }> {
  const lock = new URL("../../src/store/folder-lock.ts", import.meta.url).href;
  const script = `import(${JSON.stringify(lock)})
    .then(({ lockFolder }) => lockFolder(${JSON.stringify(folder)}))
    .then(() => { console.log("held"); setInterval(() => {}, 1000); })`;
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), "-e", script]);
  await once(child.stdout, "data");
  const kill = async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return { pid: child.pid!, kill };
}

test("a second lock in the same process is refused, naming folder and process", async () => {
  const lock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: "store_locked" });
  await expect(lockFolder(folder)).rejects.toThrow(`${folder} is in use by process ${process.pid}`);
  await lock.release();
});

test("a released folder is free, and nothing is left in it", async () => {
  await (await lockFolder(folder)).release();
  expect(await readdir(join(folder, "lock"))).toEqual([]);
  await (await lockFolder(folder)).release();
});

test("a folder held by another process is refused with its id, and free once that was killed", async () => {
  const { pid, kill } = await otherHolder();
  try {
    await expect(lockFolder(folder)).rejects.toThrow(`is in use by process ${pid}`);
  } finally {
    await kill();
  }
  expect(await readdir(join(folder, "lock"))).toHaveLength(1); // the dead one's
  const lock = await lockFolder(folder);
  expect(await readdir(join(folder, "lock"))).toHaveLength(1); // ours only
  await lock.release();
});

test("of many that start at once, never do two hold the folder", async () => {
  for (let round = 0; round < 5; round++) {
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    const held = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    expect(held.length).toBeLessThanOrEqual(1);
    for (const lock of held) await lock.release();
  }
});

test("a folder whose path is too long for a socket address can be locked", async () => {
  const deep = join(folder, "d".repeat(100), "e".repeat(100));
  const lock = await lockFolder(deep);
  await expect(lockFolder(deep)).rejects.toMatchObject({ code: "store_locked" });
  await lock.release();
});
