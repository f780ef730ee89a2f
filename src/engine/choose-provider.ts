/** Which provider a model runs on: the one that is asked for, or the fastest that opens. */
import { GatewayError } from "../base/errors.ts";
import { encode } from "../onnx/encode.ts";
import { Graph } from "../onnx/graph.ts";
import type { Provider, Runtime } from "../onnx/runtime/index.ts";

export interface ChosenProvider {
  readonly provider: Provider;
  /** Those that come before it and do not open, with the reason. */
  readonly refused: readonly { readonly provider: Provider; readonly reason: string }[];
}

/** Fastest first. The last is always there. */
const preferred: readonly Provider[] = ["cuda", "webgpu"];

/** @param asked "auto" tries; anything else is taken, and says itself what it lacks when a model is loaded. */
export async function chooseProvider(
  runtime: Runtime,
  asked: Provider | "auto",
): Promise<ChosenProvider> {
  if (asked !== "auto") return { provider: asked, refused: [] };
  const refused: ChosenProvider["refused"][number][] = [];
  for (const provider of preferred) {
    const reason = await whyNot(runtime, provider);
    if (reason === null) return { provider, refused };
    refused.push({ provider, reason });
  }
  return { provider: "cpu", refused };
}

/** @returns null for a provider that runs a graph here, on a driver in software only if that will do. */
export async function whyNot(
  runtime: Runtime,
  provider: Provider,
  { evenInSoftware = false } = {},
): Promise<string | null> {
  if (provider === "webgpu" && !evenInSoftware && !runtime.hasGraphicsDevice) {
    return "no graphics processor was found; in software it would be slower than the CPU";
  }
  try {
    const session = await runtime.session(doubling(), { provider });
    const x = runtime.tensor("float32", [1], Float32Array.of(1));
    await session.evaluate({ x }).finally(() => {
      session.dispose();
      x.dispose();
    });
    return null;
  } catch (problem) {
    if (problem instanceof GatewayError) return problem.message;
    throw problem;
  }
}

function doubling(): Uint8Array {
  const g = new Graph();
  const x = g.input("x", "float32", ["n"]);
  g.output("y", g.add(x, x));
  return encode(g);
}
