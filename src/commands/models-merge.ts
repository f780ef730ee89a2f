/** `plumbline models merge`: a checkpoint and a LoRA adapter of it as one checkpoint. */
import type { Command } from "commander";
import { mergeAdapter } from "../checkpoints/merge.ts";

export function addMerge(group: Command): void {
  group
    .command("merge")
    .description(
      "add a LoRA adapter to its model; the result loads wherever the model does, adapters or not",
    )
    .argument("<base>", "folder of the checkpoint that the adapter was trained on")
    .argument("<adapter>", "folder of the adapter, as PEFT saves it")
    .requiredOption("--out <folder>", "to be written; must not exist, or be empty")
    .action(async (base: string, adapter: string, { out }: { readonly out: string }) => {
      await mergeAdapter(base, adapter, out);
      console.log(`${base} + ${adapter} → ${out}`);
    });
}
