/** Which provider the engine's tests run on: `npm run test:gpu` says so; else the CPU. */
import { expect } from "vitest";
import type { Provider } from "../../src/onnx/runtime/index.ts";

const known: readonly Provider[] = ["cpu", "webgpu", "cuda"];
const asked = process.env["PLUMBLINE_TEST_PROVIDER"] ?? "cpu";

export const testProvider: Provider =
  known.find((provider) => provider === asked) ??
  (() => {
    throw new Error(`PLUMBLINE_TEST_PROVIDER is '${asked}'; known are ${known.join(", ")}`);
  })();

/** Which parts of a test only cost time on a device, where software may be all there is. */
export const onCpu = testProvider === "cpu";

/** As many as a test wants, or on a device fewer. */
export const few = (many: number, onDevice: number): number => (onCpu ? many : onDevice);

/** Of a log-probability: another order of the same sums in float32, or in float16, in which CUDA attends. */
const tolerance = { cpu: 0, webgpu: 1e-4, cuda: 2e-2 }[testProvider];

/**
 * The same completions: on the CPU bit for bit; on a device, whose kernels may sum in another order for another number
 * of rows, the same tokens with nearly the same log-probabilities.
 */
export function expectSame(found: unknown, expected: unknown): void {
  if (onCpu) {
    expect(found).toEqual(expected);
    return;
  }
  const [here, there] = [split(found), split(expected)];
  expect(here.rest).toEqual(there.rest);
  for (const [i, logprob] of here.logprobs.entries()) {
    expect(Math.abs(logprob - there.logprobs[i]!)).toBeLessThan(tolerance);
  }
}

function split(value: unknown): { rest: unknown; logprobs: number[] } {
  const logprobs: number[] = [];
  const text = JSON.stringify(value, (key, each) => {
    if (key === "logprob") logprobs.push(each);
    return key === "logprob" ? null : each;
  });
  return { rest: JSON.parse(text), logprobs };
}
