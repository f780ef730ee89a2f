/**
 * ONNX Runtime's shared library, found inside the installed onnxruntime-node package, and its C API as
 * typed JavaScript functions. A status becomes a GatewayError here, once; nobody above sees one.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi, { type LibraryHandle } from "koffi";
import { GatewayError } from "../../base/errors.ts";
import {
  apiEntries,
  apiVersion,
  type FunctionOf,
  functions,
  type Parameter,
  type Pointer,
  type Result,
  type Signature,
} from "./functions.ts";

type Functions = typeof functions;
type Calls = { readonly [F in keyof Functions]: FunctionOf<Functions[F]> };
type LaterCalls = {
  readonly [F in keyof Functions]: (...args: Parameters<Calls[F]>) => Promise<void>;
};

export interface Library {
  /** Synchronous calls. */
  readonly call: Calls;
  /** The status-returning calls on libuv's thread pool. Their arguments stay referenced until the end. */
  readonly later: LaterCalls;
  /** Of ONNX Runtime, as "1.30.0". */
  readonly version: string;
  /** Where the library lies, and a provider's own files beside it. */
  readonly folder: string;
}

// NOTE: koffi runs native code on stacks of its own; its 128 KiB for asynchronous calls is less than
// the panels a matrix product keeps on the stack. The memory is mapped, not touched, until needed.
const stackBytes = 8 * 2 ** 20;

/**
 * Loads the library for good: unloading it under its own threads would crash the process.
 * @throws GatewayError provider_unavailable when there is no library for this platform, it does not load,
 * or it is too old.
 */
export function loadLibrary(): Library {
  const folder = libraryFolder();
  const api = openApi(join(folder, libraryFile()));
  const table = koffi.decode(api.table, koffi.array("void *", apiEntries)) as Pointer[]; // koffi is untyped
  const native = bindAll(table);
  const check = (name: string, status: Pointer | null) => {
    if (status === null) return;
    const problem = String(native.GetErrorMessage(status)).trim();
    native.ReleaseStatus(status);
    throw new GatewayError("runtime_failed", { call: name, problem });
  };
  return {
    // The signature table derives both: each entry's wrapper has the type that FunctionOf gives it.
    call: mapFunctions((name) => synchronous(name, native[name], check)) as unknown as Calls,
    later: mapFunctions((name) => asynchronous(name, native[name], check)) as unknown as LaterCalls,
    version: api.version,
    folder,
  };
}

/** A function as koffi makes it: untyped, its result by the signature's. */
interface Native {
  (...args: unknown[]): unknown;
  async(...args: unknown[]): void;
}
type Check = (name: string, status: Pointer | null) => void;

function libraryFolder(): string {
  const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  return join(dirname(manifest), "bin", "napi-v6", process.platform, process.arch);
}

function libraryFile(): string {
  if (process.platform === "win32") return "onnxruntime.dll";
  return process.platform === "darwin" ? "libonnxruntime.1.dylib" : "libonnxruntime.so.1";
}

function openApi(path: string): { table: Pointer; version: string } {
  if (!existsSync(path)) {
    const problem = `onnxruntime-node has no library for ${process.platform}-${process.arch}`;
    throw unavailable(problem, "Use Linux or Windows on x64 or arm64, or macOS on arm64.");
  }
  enlargeStacks();
  const library = loadOrExplain(path);
  pin(library);
  // OrtApiBase is a struct of two functions: GetApi(version) and GetVersionString().
  const base = library.func("OrtGetApiBase", "void *", [])();
  const [getApi, getVersion] = koffi.decode(base, koffi.array("void *", 2));
  const version: string = koffi.call(getVersion, koffi.proto("str", []));
  const table: Pointer | null = koffi.call(getApi, koffi.proto("void *", ["uint32"]), apiVersion);
  if (table === null) {
    const problem = `ONNX Runtime ${version} lacks version ${apiVersion} of its C API`;
    throw unavailable(problem, "Run 'npm ci' to install the version Plumbline was built for.");
  }
  return { table, version };
}

/** Koffi allows it only before the process's first library. */
function enlargeStacks(): void {
  if (koffi.config().async_stack_size === stackBytes) return;
  koffi.config({ async_stack_size: stackBytes, sync_stack_size: stackBytes });
}

function loadOrExplain(path: string): LibraryHandle {
  try {
    return koffi.load(path);
  } catch (cause) {
    const problem = `${path} does not load (${String(cause)})`;
    throw unavailable(
      problem,
      "On Linux it needs glibc (Alpine has musl). Run 'npm ci' if the file is damaged.",
      {
        cause,
      },
    );
  }
}

function unavailable(problem: string, remedy: string, options?: ErrorOptions): GatewayError {
  return new GatewayError("provider_unavailable", { provider: "cpu", problem, remedy }, options);
}

// NOTE: koffi closes a library when its handle is collected. A timer that never matters keeps the handle.
function pin(library: LibraryHandle): void {
  setInterval(() => library, 2 ** 31 - 1).unref();
}

function mapFunctions<T>(make: (name: keyof Functions) => T): Record<string, T> {
  // Object.keys is typed string[]; the table's own type says which strings they are.
  const names = Object.keys(functions) as (keyof Functions)[];
  return Object.fromEntries(names.map((name) => [name, make(name)]));
}

function bindAll(table: readonly Pointer[]): Record<keyof Functions, Native> {
  return mapFunctions((name) => {
    const [index, result, ...parameters]: Signature = functions[name];
    const types = parameters.map((parameter) => koffiTypes[parameter]);
    return koffi.decode(table[index], koffi.proto(koffiTypes[result], types));
  }) as Record<keyof Functions, Native>; // Object.fromEntries forgets the keys
}

const koffiTypes: Readonly<Record<Result | Parameter, string>> = {
  status: "void *",
  pointer: "void *",
  void: "void",
  string: "str",
  strings: "str *",
  path: process.platform === "win32" ? "str16" : "str", // ORTCHAR_T
  int32: "int32",
  size: "size_t",
};

function synchronous(name: keyof Functions, native: Native, check: Check) {
  if (functions[name][1] !== "status") return native;
  return (...args: unknown[]) => check(name, native(...args) as Pointer | null); // a status
}

function asynchronous(name: keyof Functions, native: Native, check: Check) {
  return (...args: unknown[]) =>
    new Promise<void>((resolve, reject) => {
      native.async(...args, (error: Error | null, status: Pointer | null) => {
        try {
          if (error) throw error;
          check(name, status);
          resolve();
        } catch (problem) {
          reject(problem);
        } finally {
          args.length = 0; // they were referenced until here: native code held their addresses
        }
      });
    });
}
