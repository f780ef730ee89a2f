import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadConfig } from "../../src/base/config.ts";

const folder = mkdtempSync(join(tmpdir(), "plumbline-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Environment that names a file with this text. */
function file(text: string) {
  const path = join(folder, "plumbline.yaml");
  writeFileSync(path, text);
  return { PLUMBLINE_CONFIG: path };
}

test("has safe defaults", () => {
  const config = loadConfig({ environment: {} });
  expect(config).toMatchObject({
    host: "127.0.0.1",
    port: 8080,
    apiKeys: [],
    dataDir: "./data",
    storeUrl: "",
    device: "auto",
    bodyBytesMax: 4_194_304,
    queueSequencesMax: 1_024,
    requestCandidatesMax: 128,
    presets: {},
  });
  expect(config.contextTokens).toBeUndefined();
});

test("reads true and false from texts, and nothing else as either", () => {
  const prefixes = (text: string) =>
    loadConfig({ environment: { PLUMBLINE_REWARD_PREFIXES: text } }).rewardPrefixes;
  expect([prefixes("true"), prefixes("false")]).toEqual([true, false]);
  expect(() => prefixes("no")).toThrow(/'rewardPrefixes' must be of type boolean/);
});

test("takes the file, then the environment, then the flags", () => {
  const environment = {
    ...file("port: 1\nhost: 127.0.0.2\nlogLevel: warn\n"),
    PLUMBLINE_PORT: "2",
    PLUMBLINE_HOST: "127.0.0.3",
    PATH: "/bin",
  };
  const config = loadConfig({ environment, flags: { port: "3", host: undefined } });
  expect([config.port, config.host, config.logLevel]).toEqual([3, "127.0.0.3", "warn"]);
});

test("reads lists and maps from the environment", () => {
  const presets = {
    "tiny-chat/best": { model: "tiny-chat", strategy: "best-of-n", options: { n: 16 } },
  };
  const config = loadConfig({
    environment: {
      PLUMBLINE_API_KEYS: "a, b",
      PLUMBLINE_PRESETS: JSON.stringify(presets),
      PLUMBLINE_DEVICE: "",
    },
  });
  expect(config.apiKeys).toEqual(["a", "b"]);
  expect(config.presets).toEqual(presets);
  expect(config.device).toBe("auto");
});

test("is frozen to the bottom", () => {
  const config = loadConfig({
    environment: file("presets:\n  p: {model: m, strategy: s, options: {n: 2}}\n"),
  });
  const { options } = config.presets["p"]!;
  expect(Object.isFrozen(config)).toBe(true);
  expect(Object.isFrozen(options)).toBe(true);
  expect(Object.isFrozen(config.apiKeys)).toBe(true);
});

test.each([
  ["port: 1\nprot: 2\n", "plumbline.yaml:2", "'prot' is not known; did you mean 'port'?"],
  ["# one\n\nport: many\n", "plumbline.yaml:3", "'port' must be of type integer"],
  ["port: 70000\n", "plumbline.yaml:1", "'port' must be at most 65535"],
  ["host: a\nhost: b\n", "plumbline.yaml:2", "Map keys must be unique"],
  ["port: [1\n", "plumbline.yaml:", "Flow sequence"],
  ["- port\n", "plumbline.yaml", "must be a map"],
  [
    "presets:\n  p:\n    model: m\n    strategie: s\n",
    "plumbline.yaml:2",
    "'presets.p.strategy' is required",
  ],
  [
    "presets:\n  p:\n    model: m\n    strategy: s\n    rewards: r\n",
    "plumbline.yaml:5",
    "'presets.p.rewards' is not known; did you mean 'reward'?",
  ],
  ["device: gpu\n", "plumbline.yaml:1", 'must be one of "auto", "cpu", "webgpu", "cuda"'],
])("refuses the file %j with its line", (text, source, problem) => {
  const load = () => loadConfig({ environment: file(text) });
  expect(load).toThrow(source);
  expect(load).toThrow(problem);
});

test.each([
  [
    { PLUMBLINE_PROT: "1" },
    "(PLUMBLINE_PROT): 'PLUMBLINE_PROT' is not known; did you mean 'PLUMBLINE_PORT'?",
  ],
  [{ PLUMBLINE_PORT: "80a" }, "(PLUMBLINE_PORT): 'port' must be of type integer"],
  [{ PLUMBLINE_PRESETS: "[" }, "(PLUMBLINE_PRESETS): it must be a JSON object"],
  [{ PLUMBLINE_CONFIG: "/no/such.yaml" }, "(PLUMBLINE_CONFIG): there is no file /no/such.yaml"],
  [{ PLUMBLINE_STORE_URL: "postgres://db/x" }, "(PLUMBLINE_STORE_URL): 'storeUrl' must be empty"],
  [{ PLUMBLINE_KEEP_ALIVE_MS: "30000" }, "'keepAliveMs' must be less than stallMsMax"],
])("refuses the environment %o", (environment, message) => {
  expect(() => loadConfig({ environment })).toThrow(message);
});

test("refuses flags by their own name", () => {
  const load = (flags: Record<string, string>) => () => loadConfig({ flags, environment: {} });
  expect(load({ dataDri: "x" })).toThrow(
    "(--data-dri): '--data-dri' is not known; did you mean '--data-dir'?",
  );
  expect(load({ port: "-1" })).toThrow("(--port): 'port' must be at least 0");
});

test.each(["0.0.0.0", "::", "192.168.1.5", "example.org", "128.0.0.1"])(
  "refuses to listen on %s without a key, and listens with one",
  (host) => {
    expect(() => loadConfig({ flags: { host }, environment: {} })).toThrow("no API key is set");
    expect(loadConfig({ flags: { host, apiKeys: "k" }, environment: {} }).host).toBe(host);
  },
);

test.each(["127.0.0.1", "127.1.2.3", "::1", "localhost"])("listens on %s without a key", (host) => {
  expect(loadConfig({ flags: { host }, environment: {} }).host).toBe(host);
});
