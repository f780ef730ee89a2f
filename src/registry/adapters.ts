/** The adapters of a policy: folders side by side in one place, each served as `<policy>:<folder>`. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { GatewayError } from "../base/errors.ts";
import { readAdapter } from "../checkpoints/adapter.ts";
import type { ModelConfig } from "../checkpoints/config.ts";
import type { NamedAdapter } from "../engine/adapter-bank.ts";
import type { Engine } from "../engine/engine.ts";
import type { Generator } from "../engine/types.ts";
import { createPolicy, type PolicyParts } from "./policy.ts";
import type { Registry } from "./registry.ts";
import type { Policy } from "./types.ts";

export interface Adapters {
  /** Names of the folders that hold an adapter, loaded or not. */
  available(): Promise<string[]>;
  /**
   * Serves an adapter under its own model id from when this settles; nothing that runs waits for it.
   * @throws GatewayError adapter_not_found, adapter_exists, checkpoint_invalid
   */
  load(name: string): Promise<Policy>;
  /** Nothing new may ask for it; settles when what runs with it has ended. @throws GatewayError adapter_not_found */
  unload(name: string): Promise<void>;
}

export interface AdaptersParts {
  /** Empty: there are none. */
  readonly folder: string;
  /** Of the policy; null for one whose graph nothing can be added to. */
  readonly config: ModelConfig | null;
  readonly engine: Engine;
  /** Of the policy itself. */
  readonly parts: PolicyParts;
  readonly registry: Pick<Registry, "add" | "remove">;
}

export function createAdapters({
  folder,
  config,
  engine,
  parts,
  registry,
}: AdaptersParts): Adapters {
  /** Loaded, or on the way. */
  const names = new Set<string>();
  const idOf = (name: string) => `${parts.id}:${name}`;
  const available = async (): Promise<string[]> => (folder ? foldersIn(folder) : []);
  return {
    available,
    async load(name) {
      const known = await available();
      if (!known.includes(name)) throw notFound(name, known);
      if (names.has(name)) throw new GatewayError("adapter_exists", { adapter: name });
      if (config === null) throw notAddable(join(folder, name), parts.id);
      names.add(name);
      try {
        const adapter = { ...(await readAdapter(join(folder, name), config)), id: idOf(name) };
        await engine.loadAdapter(adapter);
        const policy = createPolicy({
          ...parts,
          id: adapter.id,
          generator: generatorWith(engine, adapter),
        });
        registry.add(policy);
        return policy;
      } catch (error) {
        names.delete(name);
        throw error;
      }
    },
    async unload(name) {
      if (!names.has(name)) throw notFound(name, [...names]);
      registry.remove(idOf(name));
      await engine.unloadAdapter(idOf(name));
      names.delete(name);
    },
  };
}

/** The engine, all of whose requests run with the adapter. */
export function generatorWith(engine: Engine, { id, revision }: NamedAdapter): Generator {
  return {
    revision: `${engine.revision}+${revision}`,
    contextTokens: engine.contextTokens,
    vocabSize: engine.vocabSize,
    sample: (prompt, n, sampling, control) =>
      engine.sample(prompt, n, sampling, { ...control, adapter: id }),
    score: (prompt, completion, control) =>
      engine.score(prompt, completion, { ...control, adapter: id }),
    grow: (prompt, tokensMax, control) =>
      engine.grow(prompt, tokensMax, { ...control, adapter: id }),
  };
}

/** By name; names that would not stand in a model id are left out. */
async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    const problem = `the folder ${folder} cannot be read: ${String(cause)}`;
    throw new GatewayError("config_invalid", { source: "adaptersDir", problem }, { cause });
  });
  return entries
    .filter((entry) => entry.isDirectory() && /^\w[\w.-]*$/.test(entry.name))
    .map(({ name }) => name)
    .sort();
}

function notAddable(path: string, policy: string): GatewayError {
  return new GatewayError("checkpoint_invalid", {
    path,
    problem: `the policy ${policy} is an ONNX file, and an adapter cannot be added to its products`,
    remedy: "Serve the safetensors checkpoint it was exported from, or merge the adapter into it.",
  });
}

function notFound(adapter: string, known: readonly string[]): GatewayError {
  return new GatewayError("adapter_not_found", { adapter, known });
}
