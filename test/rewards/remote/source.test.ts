/** What happens when a server that is asked for rewards does not do as it should. */
import { Type } from "typebox";
import { afterEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { compileOptions } from "../../../src/base/options.ts";
import { remoteOptions } from "../../../src/rewards/remote/options.ts";
import { createSource } from "../../../src/rewards/remote/source.ts";
import { hang, hangUp, send, sendText, startRewardServer } from "../../support/reward-server.ts";

const read = compileOptions({ name: "source", options: Type.Object(remoteOptions) }, "reward");
const never = new AbortController().signal;
afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

function source(url: string, given: Readonly<Record<string, unknown>> = {}, clock = systemClock) {
  return createSource("mine", read({ url, retry_wait_ms: 1, ...given }), clock);
}

describe("a call", () => {
  test("carries the body as JSON, and keys from the variables that are named", async () => {
    vi.stubEnv("REWARD_KEY", "s3cret");
    vi.stubEnv("REWARD_TENANT", "blue");
    const server = await startRewardServer(() => send({ fine: true }));
    const header_variables = { "X-Tenant": "REWARD_TENANT" };
    const asked = source(`${server.url}/score`, {
      api_key_variable: "REWARD_KEY",
      header_variables,
    });
    expect(await asked.post({ text: "é" }, never)).toEqual({ fine: true });
    const [{ path, body, headers }] = server.asked as [(typeof server.asked)[0]];
    expect({ path, body }).toEqual({ path: "/score", body: { text: "é" } });
    expect(headers).toMatchObject({ authorization: "Bearer s3cret", "x-tenant": "blue" });
  });

  test("takes Python's NaN for null, and the word in a text for text", async () => {
    const text = String.raw`{"a": [NaN, -Infinity, 1], "b": "NaN \" NaN"}`;
    const server = await startRewardServer(() => sendText(text));
    expect(await source(server.url).post({}, never)).toEqual({
      a: [null, null, 1],
      b: 'NaN " NaN',
    });
  });
});

describe("settings are refused", () => {
  test("where a key's variable is not set", () => {
    const given = { api_key_variable: "NO_SUCH_KEY" };
    expect(() => source("http://localhost", given)).toThrow(/NO_SUCH_KEY.*not set/);
  });

  test("where a value cannot be a header, without showing it", () => {
    vi.stubEnv("REWARD_KEY", "one\ntwo");
    const wrong = () => source("http://localhost", { api_key_variable: "REWARD_KEY" });
    expect(wrong).toThrow(/REWARD_KEY/);
    expect(wrong).not.toThrow(/one|two/);
  });

  test.each(["localhost:80", "file:///etc/passwd", "http://me:key@host/"])("for %s", (url) => {
    expect(() => source(url)).toThrow(/^Invalid 'url'/);
  });
});

describe("a passing fault", () => {
  const faults = {
    "a lost connection": hangUp,
    "429": sendText("", 429),
    "503": sendText("", 503),
  };

  test.each(Object.entries(faults))("(%s) is asked again", async (_, fault) => {
    const server = await startRewardServer((_asked, at) => (at < 2 ? fault : send([1])));
    expect(await source(server.url).post({}, never)).toEqual([1]);
    expect(server.asked).toHaveLength(3);
  });

  test.each(Object.entries(faults))("(%s) that stays is told with its remedy", async (_, fault) => {
    const server = await startRewardServer(() => fault);
    await expect(source(`${server.url}/x?key=1`).post({}, never)).rejects.toMatchObject({
      code: "reward_source_failed",
      message: expect.stringMatching(/'mine' got no score from http:[^?]*\/x: .*, 3 times\. \w+/),
    });
    expect(server.asked).toHaveLength(3);
  });

  test("is not waited for longer than 10 s", async () => {
    const server = await startRewardServer(() => sendText("", 503, { "retry-after": "3600" }));
    await expect(source(server.url).post({}, never)).rejects.toThrow(/status 503/);
    expect(server.asked).toHaveLength(1);
  });

  test("is not waited for when the client has left", async () => {
    const client = new AbortController();
    const server = await startRewardServer(() => (response) => {
      sendText("", 503, { "retry-after": "9" })(response);
      response.on("close", () => setImmediate(() => client.abort("left")));
    });
    await expect(source(server.url).post({}, client.signal)).rejects.toBe("left");
    expect(server.asked).toHaveLength(1);
  });

  test("that is no server at all names the address", async () => {
    const server = await startRewardServer(() => hang);
    await server.close();
    await expect(source(server.url).post({}, never)).rejects.toThrow(
      `${server.url}/: the connection failed (ECONNREFUSED), 3 times. Check that the server runs`,
    );
  });
});

describe("what would not pass is asked once:", () => {
  test.each([
    ["a server's fault", sendText("{}", 500), /status 500\. Its own log/],
    ["a wrong path", sendText("{}", 404), /status 404\. Check that url/],
    ["a wrong key", sendText("{}", 401), /does not know the key .*api_key_variable/],
    ["a reply that is not JSON", sendText("<html>", 200), /not JSON \(application\/json, 6 char/],
    ["an empty reply", sendText("", 200), /not JSON/],
    ["a reply without end", sendText(`"${"x".repeat(2 ** 23)}"`), /longer than 8388608 bytes/],
  ])("%s", async (_, fault, message) => {
    const server = await startRewardServer(() => fault);
    await expect(source(server.url).post({}, never)).rejects.toThrow(message);
    expect(server.asked).toHaveLength(1);
  });

  test("a redirect, which is not followed", async () => {
    const other = await startRewardServer(() => send([1]));
    const location = `${other.url}/there?token=1`;
    const server = await startRewardServer(() => sendText("", 307, { location }));
    await expect(source(server.url).post({}, never)).rejects.toThrow(
      `it redirects to ${other.url}/there (status 307). Redirects are not followed`,
    );
    expect(server.asked).toHaveLength(1);
    expect(other.asked).toHaveLength(0);
  });

  test("a server that hangs, whose connection is closed", async () => {
    // the time passes once the call is there, however slow the machine is
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const server = await startRewardServer(() => {
      vi.advanceTimersByTime(20);
      return hang;
    });
    await expect(source(server.url, { timeout_ms: 20 }).post({}, never)).rejects.toThrow(
      /no whole reply within 20 ms\. Raise timeout_ms/,
    );
    await server.abandoned;
    expect(server.asked).toHaveLength(1);
  });

  test("a server that hangs within its reply", async () => {
    const half = (response: Parameters<typeof hang>[0]) => void response.writeHead(200).write("[1");
    const server = await startRewardServer(() => half);
    await expect(source(server.url, { timeout_ms: 20 }).post({}, never)).rejects.toThrow(/20 ms/);
  });

  test("a text that is refused, with what was said of it", async () => {
    const server = await startRewardServer(() => sendText('{"error": "too long"}', 422));
    await expect(source(server.url).post({}, never)).rejects.toMatchObject({
      code: "reward_source_refused",
      message: expect.stringContaining('status 422 ({"error": "too long"})'),
    });
    expect(server.asked).toHaveLength(1);
  });
});

test("a client that leaves closes the connection", async () => {
  const client = new AbortController();
  const server = await startRewardServer(() => {
    client.abort("left");
    return hang;
  });
  // a timeout longer than any test's: only the client's leaving ends the call
  const asked = source(server.url, { timeout_ms: 240_000 });
  await expect(asked.post({}, client.signal)).rejects.toBe("left");
  await server.abandoned;
});

describe("a source that fails again and again", () => {
  const given = { failures_max: 2, pause_ms: 10_000, retries: 0 };

  async function failing() {
    let time = 0;
    let isWell = false;
    const server = await startRewardServer(() => (isWell ? send([1]) : sendText("", 500)));
    const asked = source(server.url, given, { now: () => 0, elapsedMs: () => time });
    const post = () => asked.post({}, never);
    const pass = (ms: number) => {
      time += ms;
    };
    const recover = () => {
      isWell = true;
    };
    return { server, post, pass, recover };
  }

  test("is left alone for a while, and the error says so", async () => {
    const { server, post, pass } = await failing();
    for (let i = 0; i < 2; i++) await expect(post()).rejects.toThrow(/: it answered/);
    pass(4_000);
    await expect(post()).rejects.toThrow(
      /not asked for 6 s more, after 2 failures in a row \(the last: .*status 500\)/,
    );
    expect(server.asked).toHaveLength(2);
  });

  test("is tried again afterwards: one more failure is enough, one success makes it good", async () => {
    const { server, post, pass, recover } = await failing();
    for (let i = 0; i < 2; i++) await expect(post()).rejects.toThrow();
    pass(10_000);
    await expect(post()).rejects.toThrow(/: it answered/);
    await expect(post()).rejects.toThrow(/not asked for 10 s more, after 3 failures/);
    pass(10_000);
    recover();
    expect(await post()).toEqual([1]);
    expect(await post()).toEqual([1]);
    expect(server.asked).toHaveLength(5);
  });

  test("is not one whose clients leave, or that refuses texts", async () => {
    const refusing = await startRewardServer(() => sendText("", 400));
    const asked = source(refusing.url, { ...given, failures_max: 1 });
    const gone = AbortSignal.abort("left");
    for (let i = 0; i < 3; i++) await expect(asked.post({}, gone)).rejects.toBe("left");
    for (let i = 0; i < 3; i++) await expect(asked.post({}, never)).rejects.toThrow(/status 400/);
    expect(refusing.asked).toHaveLength(3);
  });
});
