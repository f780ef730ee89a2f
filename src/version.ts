/** The package's version, from package.json, which lies beside `src/` and `dist/` alike. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const text = readFileSync(join(import.meta.dirname, "..", "package.json"), "utf8");
export const { version } = JSON.parse(text) as { version: string }; // npm refuses a package without one
