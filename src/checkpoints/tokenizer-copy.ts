/** The tokenizer's and the chat template's files of a checkpoint, for another that reads the same tokens. */
import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";

const TOKENIZER_FILES =
  /^(tokenizer.*\.json|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|chat_template\..*)$/;

export async function copyTokenizer(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    if (TOKENIZER_FILES.test(name)) await copyFile(join(from, name), join(to, name));
  }
}
