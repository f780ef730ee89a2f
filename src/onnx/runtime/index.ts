/**
 * ONNX Runtime for the rest of Plumbline: no name outside this folder knows a pointer.
 *
 *     const runtime = openRuntime();
 *     const session = await runtime.session(bytes, { threads: 2 });
 *     const binding = session.bind({ inputs: { x }, outputs: { y } }); // y may be x: in place
 *     await session.run(binding, { signal });
 */
export type { Binding, OutputTarget } from "./binding.ts";
export type { LogLevel } from "./context.ts";
export type { ValueInfo } from "./describe.ts";
export type { Provider } from "./providers.ts";
export { openRuntime, type Runtime, type RuntimeOptions } from "./runtime.ts";
export type { BindingSpec, RunOptions, Session, Value } from "./session.ts";
export type { PrepackedWeights, SessionOptions } from "./session-options.ts";
export type { Place, Tensor } from "./tensor.ts";
