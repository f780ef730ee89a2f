/** A training that is killed with SIGKILL goes on, by the same command, to the same weights, bit by bit. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../../src/base/random.ts";
import { runCommand } from "../../support/killed-command.ts";
import { jsonLines, pairRows, tinyCheckpoint } from "../../support/tiny-checkpoint.ts";
import { temporaryFolder } from "../../support/workspace.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);

let command: string[];
beforeAll(async () => {
  const base = await tinyCheckpoint(at("base"));
  const data = jsonLines(at("pairs.jsonl"), pairRows(40));
  const settings =
    "--held-out 0.2 --steps 10 --batch 8 --pass-tokens 256 --checkpoint-every 3 --learning-rate 0.01 " +
    "--evaluate-every 2 --patience 4 --threads 1";
  command = ["train", "dpo", "--base", base, "--data", data, ...settings.split(" ")];
});

const run = (out: string, { killAt, more = [] }: { killAt?: string; more?: string[] } = {}) =>
  runCommand([...command, "--out", at(out), ...more], killAt);

/** What a step reported, without how long it took. */
const reported = (out: string) =>
  readFileSync(join(at(out), "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => ({ ...JSON.parse(line), seconds: 0 }));

// Each run starts a process, which takes seconds on a busy machine.
describe("a training", { timeout: 300_000 }, () => {
  test("killed at its references, before and after a saved state, and at its end comes to what it would have come to", async () => {
    const through = await run("through");
    expect(through.said).toContain("10/10");
    expect(through.code).toBe(0);
    const seed = Number(process.env["KILL_SEED"] ?? 2026);
    const random = createRandom(seed);
    const within = (from: number, to: number) => `\n${from + random.integer(to - from + 1)}/10`;
    const moments = ["references", within(1, 3), within(4, 6)]; // before a saved state, and after one
    console.log(`killed at ${JSON.stringify(moments)}, drawn by the seed ${seed}`);
    for (const killAt of moments) {
      const { code, said } = await run("killed", { killAt });
      expect(said).toContain(killAt);
      expect(code).toBeNull(); // by a signal
      expect(existsSync(join(at("killed"), "config.json"))).toBe(false); // nothing that could be loaded
    }
    const { said } = await run("killed", { killAt: "\n10/10" }); // while it writes, unless it is faster
    expect(said).toMatch(/going on after step [36]/);
    expect((await run("killed")).code).toBe(0);
    for (const name of ["model.safetensors", "config.json", "tokenizer.json"])
      expect(
        readFileSync(join(at("killed"), name)).equals(readFileSync(join(at("through"), name))),
      ).toBe(true);
    expect(reported("killed")).toEqual(reported("through"));
    expect(reported("killed").filter(({ split }) => split === "train")).toHaveLength(10);
    const trained = readFileSync(join(at("through"), "model.safetensors"));
    expect(trained.equals(readFileSync(join(at("base"), "model.safetensors")))).toBe(false);
  });

  test("that the disk takes no more of says so, keeps the last saved state whole, and goes on once there is room", async () => {
    const state = () => readFileSync(join(at("full"), "training", "state.safetensors"));
    await run("full", { killAt: "\n4/10" });
    const saved = state();
    const full = await runCommand([...command, "--out", at("full")], undefined, saved.length / 2);
    expect(full.code).toBe(1);
    expect(full.said).toMatch(/going on after step 3/);
    expect(full.said).toMatch(/Cannot write to .*full: EFBIG.* The last saved state is whole/);
    expect(state().equals(saved)).toBe(true);
    expect(
      readdirSync(join(at("full"), "training")).filter((name) => name.endsWith(".tmp")),
    ).toEqual([]);
    expect(existsSync(join(at("full"), "config.json"))).toBe(false);
    expect((await run("full")).code).toBe(0);
    expect(
      readFileSync(join(at("full"), "model.safetensors")).equals(
        readFileSync(join(at("through"), "model.safetensors")),
      ),
    ).toBe(true);
  });

  test("that has ended is not run again, and its folder is refused to another command, with the difference", async () => {
    const again = await run("through");
    expect(again.code).toBe(0);
    expect(again.said).not.toContain("1/10");
    const other = await run("through", { more: ["--learning-rate", "0.02", "--beta", "0.3"] });
    expect(other.code).toBe(2);
    expect(other.said).toContain("--learning-rate was 0.01 and is 0.02");
    expect(other.said).toContain("--beta was 0.1 and is 0.3");
  });
});
