import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeFileAtomically } from "../../src/base/atomic-file.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "atomic-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("writes the parts one after the other", async () => {
  await writeFileAtomically(join(folder, "a"), ["one ", Buffer.from("two"), ""]);
  expect(await readFile(join(folder, "a"), "utf8")).toBe("one two");
});

test("a failure half way leaves the old file and nothing beside it", async () => {
  await writeFileAtomically(join(folder, "a"), ["old"]);
  function* parts() {
    yield "new";
    throw new Error("no more");
  }
  await expect(writeFileAtomically(join(folder, "a"), parts())).rejects.toThrow("no more");
  expect(await readFile(join(folder, "a"), "utf8")).toBe("old");
  expect(await readdir(folder)).toEqual(["a"]);
});

test("of two writers at once one wins whole", async () => {
  const texts = ["x".repeat(1000), "y".repeat(1000)];
  await Promise.all(
    texts.map((text) => writeFileAtomically(join(folder, "a"), [...text.match(/.{100}/g)!])),
  );
  expect(texts).toContain(await readFile(join(folder, "a"), "utf8"));
});
