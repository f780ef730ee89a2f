// Prints the closing line of CI from vitest's JSON report.
import { readFileSync } from "node:fs";

const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(
  readFileSync(process.argv[2], "utf8"),
);
console.log(`${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`);
process.exitCode = numFailedTests > 0 || numPassedTests === 0 ? 1 : 0;
