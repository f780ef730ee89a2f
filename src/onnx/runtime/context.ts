/** What every native call needs: the library, the environment, CPU memory and the default allocator. */
import type { Pointer } from "./functions.ts";
import { type Lane, openLane, singleLane } from "./lane.ts";
import { type Library, loadLibrary } from "./library.ts";
import { created, NativeObject, pointersAt, textAt } from "./native.ts";
import type { Provider } from "./providers.ts";

export interface Context {
  readonly library: Library;
  readonly env: NativeObject;
  /** The OrtMemoryInfo of ordinary memory; lives as long as the environment. */
  readonly cpu: NativeObject;
  /** For the names that ONNX Runtime hands out; the library owns it. */
  readonly allocator: Pointer;
  /** NOTE: WebGPU's turns are the process's, so only one open runtime of a process may use it. */
  readonly lanes: Readonly<Record<Provider, Lane>>;
}

const logLevels = { verbose: 0, info: 1, warning: 2, error: 3, fatal: 4 } as const;
export type LogLevel = keyof typeof logLevels;

/** @throws GatewayError provider_unavailable when the library does not load. */
export function openContext(logLevel: LogLevel): Context {
  const library = loadLibrary();
  const { call } = library;
  const env = created((out) => call.CreateEnv(logLevels[logLevel], "plumbline", out));
  call.DisableTelemetryEvents(env);
  const cpu = createMemoryInfo(library, "Cpu", 0);
  return {
    library,
    env: new NativeObject("the ONNX Runtime environment", env, (released) => {
      call.ReleaseEnv(released);
      cpu.dispose();
    }),
    cpu,
    allocator: created((out) => call.GetAllocatorWithDefaultOptions(out)),
    lanes: { cpu: openLane, cuda: openLane, webgpu: singleLane() },
  };
}

/** Names of the providers, as ONNX Runtime calls them, for which it has found hardware. */
export function hardwareProviders({ library: { call }, env }: Context): string[] {
  const count = new BigUint64Array(1);
  const devices = created((out) => call.GetEpDevices(env.pointer, out, count)); // the environment's own
  return pointersAt(devices, Number(count[0])).map((device) => call.EpDevice_EpName(device));
}

/** @param name ONNX Runtime's name of the memory: "Cpu", "Cuda", "WebGPU_Buffer". */
export function createMemoryInfo(library: Library, name: string, device: number): NativeObject {
  const { call } = library;
  const deviceAllocator = 0; // OrtAllocatorType: no arena
  const defaultMemory = 0; // OrtMemType
  const pointer = created((out) =>
    call.CreateMemoryInfo(name, deviceAllocator, device, defaultMemory, out),
  );
  return new NativeObject(`the description of ${name} memory`, pointer, call.ReleaseMemoryInfo);
}

/** A text that ONNX Runtime allocated for us: read, then given back. */
export function takeText({ library, allocator }: Context, pointer: Pointer): string {
  const text = textAt(pointer);
  library.call.AllocatorFree(allocator, pointer);
  return text;
}
