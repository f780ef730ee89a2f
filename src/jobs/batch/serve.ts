/** What a batch needs of the models, and how it asks for another policy in their place. */
import type { Policy } from "../../registry/types.ts";
import type { Sampler } from "./sample-prompts.ts";

export interface Served extends Sampler {
  readonly policy: Policy;
  /** Its id. */
  readonly reward: string;
  readonly rewardRevision: string;
  dispose(): Promise<void>;
}

/**
 * @param folder of the policy's checkpoint; null: as it is configured.
 * @param reward a checkpoint in place of the configured reward, and of all that is made of it.
 */
export type Serve = (folder: string | null, reward?: string) => Promise<Served>;

export interface ServedInTurn {
  /** Whatever was served before is let go. */
  at(folder: string | null, reward?: string): Promise<Served>;
  /** Memory for others. */
  letGo(): Promise<void>;
}

/** One policy at a time, loaded only when it is another than the last. */
export function servedInTurn(serve: Serve): ServedInTurn {
  let current: {
    readonly folder: string | null;
    readonly reward: string | undefined;
    readonly served: Served;
  } | null = null;
  const letGo = async () => {
    const last = current;
    current = null;
    await last?.served.dispose();
  };
  return {
    letGo,
    async at(folder, reward) {
      if (current && current.folder === folder && current.reward === reward) return current.served;
      await letGo();
      const served = await serve(folder, reward);
      current = { folder, reward, served };
      return served;
    },
  };
}
